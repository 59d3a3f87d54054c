package flowspan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "flowspan.dev/go/flowspanv1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const runID = "01a20405-1cb2-7994-b237-b12c826b5016"

var flowID = "sha256:" + strings.Repeat("0", 64)

// fakeServer answers as a gateway would that has one run with a log of segments.
type fakeServer struct {
	pb.UnimplementedRunServiceServer
	pb.UnimplementedBlobServiceServer

	mutex     sync.Mutex
	log       []*pb.Segment
	blobs     map[string][]byte
	cuts      []int // after so many messages a watch is cut; 0: never
	failures  []error
	submitted []*pb.SubmitRunRequest
	streamed  []*pb.SubmitRunStreamRequest
	metadata  []metadata.MD
	cursors   []uint64
	omitted   bool
}

func startServer(t *testing.T, server *fakeServer) *Client {
	address := filepath.Join(t.TempDir(), "gateway.sock")
	listener, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	running := grpc.NewServer()
	pb.RegisterRunServiceServer(running, server)
	pb.RegisterBlobServiceServer(running, server)
	go running.Serve(listener)
	t.Cleanup(running.Stop)
	policy := DefaultRetryPolicy()
	policy.FirstDelay = time.Millisecond
	policy.GiveUpAfter = 2 * time.Second
	client, err := NewClient(Options{Target: "unix:" + address, Token: "secret", Retry: &policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// fail takes the next failure that a test has prepared.
func (s *fakeServer) fail(ctx context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	known, _ := metadata.FromIncomingContext(ctx)
	s.metadata = append(s.metadata, known)
	if len(s.failures) == 0 {
		return nil
	}
	failure := s.failures[0]
	s.failures = s.failures[1:]
	return failure
}

func (s *fakeServer) SubmitRun(ctx context.Context, request *pb.SubmitRunRequest) (*pb.SubmitRunResponse, error) {
	s.mutex.Lock()
	s.submitted = append(s.submitted, request)
	s.mutex.Unlock()
	if err := s.fail(ctx); err != nil {
		return nil, err
	}
	return &pb.SubmitRunResponse{Run: &pb.RunStatus{RunId: runID, Status: pb.RunStatus_RUN_STATUS_RUNNING}}, nil
}

func (s *fakeServer) SubmitRunStream(stream pb.RunService_SubmitRunStreamServer) error {
	s.streamed = nil
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		s.streamed = append(s.streamed, message)
	}
	if err := s.fail(stream.Context()); err != nil {
		return err
	}
	return stream.SendAndClose(&pb.SubmitRunStreamResponse{Run: &pb.RunStatus{RunId: runID}})
}

func (s *fakeServer) watch(ctx context.Context, afterSeq uint64, send func(segments []*pb.Segment, through uint64) error) error {
	if err := s.fail(ctx); err != nil {
		return err
	}
	s.mutex.Lock()
	s.cursors = append(s.cursors, afterSeq)
	cut := 0
	if len(s.cuts) > 0 {
		cut, s.cuts = s.cuts[0], s.cuts[1:]
	}
	s.mutex.Unlock()
	sent := 0
	for _, segment := range s.log {
		through := segment.FirstSeq + uint64(len(segment.Headers)) - 1
		if through <= afterSeq {
			continue
		}
		if err := send([]*pb.Segment{segment}, through); err != nil {
			return err
		}
		if sent++; sent == cut {
			return status.Error(codes.Unavailable, "cut")
		}
	}
	return nil
}

func (s *fakeServer) WatchRun(request *pb.WatchRunRequest, stream pb.RunService_WatchRunServer) error {
	return s.watch(stream.Context(), request.AfterSeq, func(segments []*pb.Segment, through uint64) error {
		return stream.Send(&pb.WatchRunResponse{Segments: segments, ThroughSeq: through})
	})
}

func (s *fakeServer) SubmitAndWatchRun(request *pb.SubmitAndWatchRunRequest, stream pb.RunService_SubmitAndWatchRunServer) error {
	s.mutex.Lock()
	s.submitted = append(s.submitted, request.Run)
	s.mutex.Unlock()
	run := &pb.RunStatus{RunId: runID}
	return s.watch(stream.Context(), request.AfterSeq, func(segments []*pb.Segment, through uint64) error {
		defer func() { run = nil }()
		return stream.Send(&pb.SubmitAndWatchRunResponse{Run: run, Segments: segments, ThroughSeq: through})
	})
}

func (s *fakeServer) GetRun(ctx context.Context, request *pb.GetRunRequest) (*pb.GetRunResponse, error) {
	if err := s.fail(ctx); err != nil {
		return nil, err
	}
	last := s.log[len(s.log)-1]
	run := &pb.RunStatus{
		RunId: runID, Status: pb.RunStatus_RUN_STATUS_SUCCESS, AsOfSeq: last.FirstSeq + uint64(len(last.Headers)) - 1,
		Items: &pb.ItemCounts{Total: 3, Success: 3},
	}
	if s.omitted && request.IncludeResults {
		run.ResultsOmitted = &pb.ResultsOmitted{Count: 3}
	}
	return &pb.GetRunResponse{Run: run}, nil
}

func (s *fakeServer) ListRunItems(_ context.Context, request *pb.ListRunItemsRequest) (*pb.ListRunItemsResponse, error) {
	pages := map[string]struct {
		indexes []uint64
		next    string
	}{"": {[]uint64{2, 0}, "p2"}, "p2": {nil, "p3"}, "p3": {[]uint64{1, 3}, ""}}
	page := pages[request.PageToken]
	answer := &pb.ListRunItemsResponse{NextPageToken: page.next}
	for _, index := range page.indexes {
		answer.Items = append(answer.Items, &pb.ItemResult{ItemIndex: index, Result: &pb.FlowResult{
			Outcome: pb.Outcome_OUTCOME_SUCCESS, Value: &pb.JsonValue{Kind: &pb.JsonValue_Json{Json: []byte(fmt.Sprint(index))}},
		}})
	}
	return answer, nil
}

func (s *fakeServer) ReadBlob(request *pb.ReadBlobRequest, stream pb.BlobService_ReadBlobServer) error {
	data, known := s.blobs[request.BlobId]
	if !known {
		return status.Error(codes.NotFound, "no blob")
	}
	info := &pb.BlobInfo{BlobId: request.BlobId, BlobType: pb.BlobType_BLOB_TYPE_DATA, Size: uint64(len(data))}
	if err := stream.Send(&pb.ReadBlobResponse{Part: &pb.ReadBlobResponse_Info{Info: info}}); err != nil {
		return err
	}
	for chunk := range slices.Chunk(data, 3) {
		if err := stream.Send(&pb.ReadBlobResponse{Part: &pb.ReadBlobResponse_Chunk{Chunk: chunk}}); err != nil {
			return err
		}
	}
	return nil
}

// aLog is a run of three items that end as 2, 0, 1, in segments of these sizes.
func aLog(sizes ...int) []*pb.Segment {
	completed := func(index uint64, outcome pb.Outcome, isBlob bool) *pb.EventHeader {
		return &pb.EventHeader{Kind: pb.EventKind_EVENT_KIND_ITEM_COMPLETED, ItemIndex: index, Outcome: outcome, PayloadIsBlob: isBlob}
	}
	headers := []*pb.EventHeader{
		{Kind: pb.EventKind_EVENT_KIND_RUN_ACCEPTED},
		{Kind: pb.EventKind_EVENT_KIND_ITEMS_STARTED, ItemCount: 3},
		completed(2, pb.Outcome_OUTCOME_SUCCESS, false),
		completed(0, pb.Outcome_OUTCOME_SUCCESS, true),
		completed(1, pb.Outcome_OUTCOME_FAILED, false),
		{Kind: pb.EventKind_EVENT_KIND_RUN_COMPLETED, RunStatus: pb.RunStatus_RUN_STATUS_FAILED},
	}
	payloads := [][]byte{
		[]byte(`{"runId":"` + runID + `","flowId":"f","total":3,"createdAtUs":1764000000000000,"maxConcurrency":10,"rootRunId":"` + runID + `"}`),
		nil, []byte("2.0"), []byte("blob"), []byte(`{"code":"INVALID_INPUT","message":"no","data":{"n":1.0}}`), nil,
	}
	var log []*pb.Segment
	at := 0
	for _, size := range sizes {
		log = append(log, &pb.Segment{FirstSeq: uint64(at + 1), Headers: headers[at : at+size], Payloads: payloads[at : at+size]})
		at += size
	}
	return log
}

func blobs() map[string][]byte { return map[string][]byte{"blob": []byte(`{"from":"a blob"}`)} }

func drain(t *testing.T, results iter.Seq2[ItemResult, error]) []string {
	t.Helper()
	var got []string
	for result, err := range results {
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%d %s %s", result.ItemIndex, result.Outcome, result.Value)
		if result.Error != nil {
			text += result.Error.Code + string(result.Error.Data)
		}
		got = append(got, text)
	}
	return got
}

var (
	inOrderOfLog = []string{"2 success 2.0", `0 success {"from":"a blob"}`, `1 failed INVALID_INPUT{"n":1.0}`}
	byIndex      = []string{inOrderOfLog[1], inOrderOfLog[2], inOrderOfLog[0]}
)

func TestWatchGivesEachResultOnceOverAnyCuts(t *testing.T) {
	for _, sizes := range [][]int{{6}, {1, 1, 1, 1, 1, 1}, {2, 2, 2}, {3, 3}} {
		for _, cuts := range [][]int{nil, {1}, {1, 1, 1}, {2, 1, 2}} {
			client := startServer(t, &fakeServer{log: aLog(sizes...), blobs: blobs(), cuts: cuts})
			watch := client.Watch(context.Background(), runID, nil)
			if got := drain(t, watch.Results()); !slices.Equal(got, inOrderOfLog) {
				t.Fatalf("%v %v: got %q", sizes, cuts, got)
			}
			if watch.Cursor() != 6 || watch.Status().Status != StatusFailed || watch.Status().Items != (ItemCounts{Total: 3, Success: 2, Failed: 1}) {
				t.Fatalf("ended at %d with %+v", watch.Cursor(), watch.Status())
			}
			watch = client.Watch(context.Background(), runID, &WatchOptions{Order: ByIndex})
			if got := drain(t, watch.Results()); !slices.Equal(got, byIndex) {
				t.Fatalf("%v %v: by index got %q", sizes, cuts, got)
			}
		}
	}
}

func TestWatchGoesOnFromAnyCursor(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(2, 3, 1), blobs: blobs()})
	for taken := range 4 {
		first := client.Watch(context.Background(), runID, nil)
		var got []string
		for range taken {
			result, err := first.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(result.ItemIndex))
		}
		cursor := first.Cursor()
		first.Close()
		for result, err := range client.Watch(context.Background(), runID, &WatchOptions{AfterSeq: cursor}).Results() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(result.ItemIndex))
		}
		if !slices.Equal(got, []string{"2", "0", "1"}) {
			t.Fatalf("after %d: %v", taken, got)
		}
	}
	if got := drain(t, client.Watch(context.Background(), runID, &WatchOptions{AfterSeq: 6}).Results()); got != nil {
		t.Fatalf("behind the end: %v", got)
	}
}

func TestWatchTellsWhereItEnded(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(6), failures: []error{status.Error(codes.NotFound, "gone")}})
	_, err := client.Watch(context.Background(), runID, &WatchOptions{AfterSeq: 3}).Next()
	var failure *Error
	if !errors.As(err, &failure) || failure.Details["runId"] != runID || failure.Details["afterSeq"] != uint64(3) {
		t.Fatalf("failed with %#v", err)
	}
	gap := &pb.Segment{FirstSeq: 3, Headers: []*pb.EventHeader{{}}}
	client = startServer(t, &fakeServer{log: []*pb.Segment{gap}})
	if _, err := client.Watch(context.Background(), runID, nil).Next(); err == nil || !strings.Contains(err.Error(), "gap in the log") {
		t.Fatalf("failed with %v", err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(6)})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.Watch(ctx, runID, nil).Next()
	if !errors.Is(err, context.Canceled) || !errors.Is(err, RequestCancelled) {
		t.Fatalf("failed with %v", err)
	}
}

func TestRunSubmitsWatchesAndSorts(t *testing.T) {
	server := &fakeServer{log: aLog(2, 4), blobs: blobs(), cuts: []int{1}}
	client := startServer(t, server)
	status, err := client.Run(context.Background(), flowID, Values(1, 2, 3), &SubmitOptions{ItemLabels: []string{"a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, result := range status.Results {
		labels = append(labels, fmt.Sprint(result.ItemIndex, result.ItemLabel))
	}
	if !slices.Equal(labels, []string{"0a", "1b", "2c"}) || status.RunID != runID {
		t.Fatalf("got %v of %+v", labels, status)
	}
	if err := status.Err(); err == nil || !strings.Contains(err.Error(), "1 of 3 items of run "+runID+" failed; item 1: INVALID_INPUT: no") {
		t.Fatalf("err is %v", err)
	}
}

func TestSubmitIsRepeatedWithTheSameRequestID(t *testing.T) {
	server := &fakeServer{failures: []error{status.Error(codes.Unavailable, "a"), status.Error(codes.Unavailable, "b")}}
	client := startServer(t, server)
	if _, err := client.Submit(context.Background(), flowID, Values(json.RawMessage("1.0"), json.Number("12345678901234567890"), "<é>"), nil); err != nil {
		t.Fatal(err)
	}
	if len(server.submitted) != 3 || server.submitted[0].Options.RequestId == "" {
		t.Fatalf("submitted %v", server.submitted)
	}
	for _, again := range server.submitted[1:] {
		if !proto.Equal(again, server.submitted[0]) {
			t.Fatalf("%v differs from %v", again, server.submitted[0])
		}
	}
	var inputs []string
	for _, input := range server.submitted[0].Inputs {
		inputs = append(inputs, string(input.GetJson()))
	}
	if !slices.Equal(inputs, []string{"1.0", "12345678901234567890", `"<é>"`}) {
		t.Fatalf("inputs are %q", inputs)
	}
	if got := server.metadata[0].Get("authorization"); !slices.Equal(got, []string{"Bearer secret"}) {
		t.Fatalf("authorization is %q", got)
	}
}

func TestSubRunIsNotRepeatedWhereItMayHaveBeenApplied(t *testing.T) {
	server := &fakeServer{failures: []error{status.Error(codes.Unavailable, "cut")}}
	client := startServer(t, server).ForTask("task")
	if _, err := client.Submit(context.Background(), flowID, Values(1), nil); !errors.Is(err, Unavailable) {
		t.Fatalf("failed with %v", err)
	}
	if len(server.submitted) != 1 || server.submitted[0].Options.RequestId != "" || server.submitted[0].Options.TaskToken != "task" {
		t.Fatalf("submitted %v", server.submitted)
	}
	if got := server.metadata[0].Get("flowspan-task-token"); !slices.Equal(got, []string{"task"}) {
		t.Fatalf("task token is %q", got)
	}
}

func TestManyInputsAreStreamed(t *testing.T) {
	server := &fakeServer{failures: []error{status.Error(codes.Unavailable, "a")}}
	client := startServer(t, server)
	if _, err := client.Submit(context.Background(), flowID, Slice(make([]int, 12_000)), nil); err != nil {
		t.Fatal(err)
	}
	count := 0
	for position, message := range server.streamed {
		if (message.Options != nil) != (position == 0) {
			t.Fatal("the first message has the options, and only that")
		}
		count += len(message.Inputs)
	}
	if count != 12_000 || len(server.streamed) != 4 {
		t.Fatalf("%d inputs in %d messages", count, len(server.streamed))
	}
	server.failures = []error{status.Error(codes.Unavailable, "a")}
	if _, err := client.Submit(context.Background(), flowID, Seq(slices.Values([]int{1})), nil); !errors.Is(err, Unavailable) {
		t.Fatalf("an iterator was read twice: %v", err)
	}
	if _, err := client.Submit(context.Background(), flowID, Seq(slices.Values([]any{1, make(chan int)})), nil); !errors.Is(err, InvalidValue) {
		t.Fatalf("failed with %v", err)
	}
}

func TestResultsThatDoNotFitAreReadInPages(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(6), omitted: true})
	status, err := client.GetRun(context.Background(), runID, &GetRunOptions{IncludeResults: true})
	if err != nil {
		t.Fatal(err)
	}
	var indexes []int
	for _, result := range status.Results {
		indexes = append(indexes, result.ItemIndex)
	}
	// The fourth result came after the status was made.
	if !slices.Equal(indexes, []int{0, 1, 2}) || status.ResultsOmitted != nil {
		t.Fatalf("got %v", indexes)
	}
}

func TestErrorsComeByReason(t *testing.T) {
	refused, _ := status.New(codes.ResourceExhausted, "busy").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Microsecond)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "inputs[5]"}}},
		&errdetails.ErrorInfo{Reason: "OVERLOADED", Domain: "flowspan", Metadata: map[string]string{"n": "12345678901234567890", "text": "not { json", "list": "[1]"}},
	)
	server := &fakeServer{log: aLog(6), failures: []error{refused.Err(), refused.Err(), refused.Err()}}
	client := startServer(t, server)
	_, err := client.GetRun(context.Background(), runID, nil)
	var failure *Error
	if !errors.As(err, &failure) || !errors.Is(err, Overloaded) || errors.Is(err, RunNotFound) {
		t.Fatalf("failed with %v", err)
	}
	if !failure.FromPeer || !failure.Retryable() || failure.Reason.GRPC() != "RESOURCE_EXHAUSTED" || failure.Reason.JSONRPC() != -32014 {
		t.Fatalf("failed with %#v", failure)
	}
	if failure.Details["n"] != json.Number("12345678901234567890") || failure.Details["text"] != "not { json" || failure.Details["field"] != "inputs[5]" {
		t.Fatalf("details are %v", failure.Details)
	}
	if after, named := failure.RetryAfter(); !named || after != time.Millisecond {
		t.Fatalf("retry after %v", after)
	}
	newer, _ := status.New(codes.NotFound, "new").WithDetails(&errdetails.ErrorInfo{Reason: "NEWER", Domain: "flowspan"})
	server.failures = []error{newer.Err()}
	if _, err := client.GetRun(context.Background(), runID, nil); !errors.Is(err, NotFound) {
		t.Fatalf("failed with %v", err)
	}
}

func TestDeadlinesAreTheCallers(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(6)})
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	_, err := client.GetRun(ctx, runID, nil)
	if !errors.Is(err, Timeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("failed with %v", err)
	}
}

func TestAClosedClientSaysSo(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(6)})
	client.Close()
	client.Close()
	if _, err := client.GetRun(context.Background(), runID, nil); !errors.Is(err, RequestCancelled) {
		t.Fatalf("failed with %v", err)
	}
}

func TestWaitGivesTheEnd(t *testing.T) {
	client := startServer(t, &fakeServer{log: aLog(6)})
	status, err := client.Wait(context.Background(), runID, nil)
	if err != nil || status.Status != StatusSuccess {
		t.Fatalf("got %v, %v", status, err)
	}
}

func TestABlobThatIsCutIsNoBlob(t *testing.T) {
	client := startServer(t, &fakeServer{blobs: blobs()})
	blob, err := client.GetBlob(context.Background(), "blob")
	if err != nil {
		t.Fatal(err)
	}
	var value struct{ From string }
	if err := blob.Decode(&value); err != nil || value.From != "a blob" {
		t.Fatalf("got %v, %v", value, err)
	}
	if _, err := client.GetBlob(context.Background(), "other"); !errors.Is(err, NotFound) {
		t.Fatalf("failed with %v", err)
	}
}
