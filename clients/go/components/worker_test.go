package components

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowspan.dev/go/flowspan"
	pb "flowspan.dev/go/flowspanv1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const patience = 5 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// fakeGateway takes the connections of workers and hands them to the test.
type fakeGateway struct {
	pb.UnimplementedWorkerServiceServer
	connections chan *fakeConnection
	refuse      error
	address     string
}

// fakeConnection is one connection of a worker: what it says, in order, and a way to answer.
type fakeConnection struct {
	t      testing.TB
	mutex  sync.Mutex
	stream pb.WorkerService_ConnectServer
	said   chan *pb.ConnectRequest // closed when the worker closes its side
	hangUp chan error
	gone   chan struct{}
}

func startGateway(t testing.TB) *fakeGateway {
	gateway := &fakeGateway{connections: make(chan *fakeConnection, 4)}
	gateway.address = filepath.Join(t.TempDir(), "gateway.sock")
	listener, err := net.Listen("unix", gateway.address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	pb.RegisterWorkerServiceServer(server, gateway)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return gateway
}

func (g *fakeGateway) Connect(stream pb.WorkerService_ConnectServer) error {
	if g.refuse != nil {
		return g.refuse
	}
	connection := &fakeConnection{stream: stream, said: make(chan *pb.ConnectRequest, 1024), hangUp: make(chan error, 1), gone: make(chan struct{})}
	g.connections <- connection
	go func() {
		defer close(connection.said)
		for {
			message, err := stream.Recv()
			if err != nil {
				return
			}
			connection.said <- message
		}
	}()
	select {
	case err := <-connection.hangUp:
		return err
	case <-stream.Context().Done():
		close(connection.gone)
		return nil
	}
}

func (g *fakeGateway) next(t testing.TB) *fakeConnection {
	t.Helper()
	select {
	case connection := <-g.connections:
		connection.t = t
		return connection
	case <-time.After(patience):
		t.Fatal("no worker connected")
		return nil
	}
}

// hear waits for a message of one kind; heartbeats in between are left out.
func hear[M any](c *fakeConnection, pick func(*pb.ConnectRequest) M, isThere func(M) bool) M {
	c.t.Helper()
	late := time.After(patience)
	for {
		select {
		case message, open := <-c.said:
			if !open {
				c.t.Fatal("the worker closed its side")
			}
			if wanted := pick(message); isThere(wanted) {
				return wanted
			}
			if message.GetHeartbeat() == nil {
				c.t.Fatalf("heard something else: %v", message)
			}
		case <-late:
			c.t.Fatal("the worker said nothing")
		}
	}
}

func (c *fakeConnection) hello() *pb.WorkerHello {
	c.t.Helper()
	return hear(c, (*pb.ConnectRequest).GetHello, func(m *pb.WorkerHello) bool { return m != nil })
}

func (c *fakeConnection) results() *pb.WorkerResults {
	c.t.Helper()
	return hear(c, (*pb.ConnectRequest).GetResults, func(m *pb.WorkerResults) bool { return m != nil })
}

func (c *fakeConnection) send(message *pb.ConnectResponse) {
	c.t.Helper()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := c.stream.Send(message); err != nil {
		c.t.Fatal(err)
	}
}

func (c *fakeConnection) welcome(session string, unwanted ...uint64) {
	c.t.Helper()
	c.send(&pb.ConnectResponse{Message: &pb.ConnectResponse_Welcome{Welcome: &pb.WorkerWelcome{
		ProtocolVersion: 1, Session: session, HeartbeatSeconds: 0.2, AwaySeconds: 15, TokenPrefix: "f20c-", SpanPrefix: "ed1d78", Unwanted: unwanted,
	}}})
}

func (c *fakeConnection) acknowledge(through uint64) {
	c.t.Helper()
	c.send(&pb.ConnectResponse{Message: &pb.ConnectResponse_Acknowledged{Acknowledged: &pb.WorkerAcknowledged{ThroughSequence: through}}})
}

func (c *fakeConnection) execute(component string, timeout float64, first uint64, inputs ...string) {
	c.t.Helper()
	batch := &pb.WorkerBatch{
		Component: component, RunId: "run", FlowId: "flow", StepId: "step", TraceId: "ba2344c25efaa066799d79ef65547fe5", Sampled: true,
		TimeoutSeconds: timeout,
	}
	for position, input := range inputs {
		batch.Executions = append(batch.Executions, first+uint64(position))
		batch.ItemIndexes = append(batch.ItemIndexes, uint64(position))
		batch.Attempts = append(batch.Attempts, 1)
		batch.Inputs = append(batch.Inputs, []byte(input))
	}
	c.send(&pb.ConnectResponse{Message: &pb.ConnectResponse_Execute{Execute: &pb.WorkerExecute{Batches: []*pb.WorkerBatch{batch}}}})
}

// testWorker runs a worker until the test ends.
type testWorker struct {
	*worker
	ended chan error
}

func startWorker(t testing.TB, gateway *fakeGateway, server *Server) *testWorker {
	server.client = flowspan.Options{Target: "unix:" + gateway.address, Token: "token"}
	server.log = quiet
	w := &testWorker{newWorker(context.Background(), server, "queue"), make(chan error, 1)}
	go func() { w.ended <- w.serve() }()
	t.Cleanup(w.giveUp)
	return w
}

func (w *testWorker) awaitEnd(t testing.TB) error {
	t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the worker did not end")
		return nil
	}
}

// gate is a component that waits until it is let go, or cancelled.
type gate struct {
	began chan string
	open  chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 64), make(chan struct{})} }

func (g *gate) wait(ctx context.Context, name string) (string, error) {
	g.began <- name
	select {
	case <-g.open:
		return name, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (g *gate) awaitBegun(t testing.TB) {
	t.Helper()
	select {
	case <-g.began:
	case <-time.After(patience):
		t.Fatal("nothing began")
	}
}

func testServer(gate *gate) *Server {
	server := New(Options{Capacity: 8, Logger: quiet})
	Register(server, "/double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }, Description("Twice as much."))
	Register(server, "/fail", func(_ context.Context, _ any) (any, error) { return nil, Failed("no", map[string]int{"x": 1}) })
	Register(server, "/panic", func(_ context.Context, _ any) (any, error) { panic("oops") })
	Register(server, "/facts", func(ctx context.Context, _ any) ([]string, error) {
		x := ExecutionOf(ctx)
		return []string{x.TaskToken(), x.TraceParent(), x.IdempotencyToken(), x.RunID(), x.StepID()}, nil
	})
	Register(server, "/users/{id}", func(ctx context.Context, _ any) (string, error) { return ExecutionOf(ctx).Parameter("id"), nil })
	if gate != nil {
		Register(server, "/wait", gate.wait)
	}
	return server
}

func TestWorkerSaysWhatItOffersAndAnswersTogether(t *testing.T) {
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(nil))
	connection := gateway.next(t)
	hello := connection.hello()
	if hello.Queue != "queue" || hello.Capacity != 8 || hello.Session != "" || len(hello.Held) != 0 || hello.WorkerId == "" || len(hello.WorkerId) > 64 {
		t.Fatalf("hello is %v", hello)
	}
	if offered := hello.Components[0]; offered.Name != "/double" || offered.Description != "Twice as much." || string(offered.InputSchema.GetJson()) != `{"type":"integer"}` {
		t.Fatalf("offered is %v", offered)
	}
	connection.welcome("s1")
	connection.execute("/double", 60, 1, "1", "2", "3")
	got := map[uint64]string{}
	for sequence := uint64(1); len(got) < 3; sequence++ {
		results := connection.results()
		if results.Sequence != sequence {
			t.Fatalf("sequence %d, not %d", results.Sequence, sequence)
		}
		for position, number := range results.Executions {
			got[number] = string(results.Outputs[position])
		}
	}
	if got[1] != "2" || got[2] != "4" || got[3] != "6" {
		t.Fatalf("got %v", got)
	}
}

func TestFactsOfAnExecution(t *testing.T) {
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(nil))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	connection.execute("/facts", 60, 255, "null")
	want := fmt.Sprintf(`["f20c-ff","00-ba2344c25efaa066799d79ef65547fe5-ed1d7800000000ff-01",%q,"run","step"]`, flowspan.IdempotencyToken("run", 0, "step"))
	if got := string(connection.results().Outputs[0]); got != want {
		t.Fatalf("got %s, not %s", got, want)
	}
	connection.execute("/users/77", 60, 256, "null")
	if got := string(connection.results().Outputs[0]); got != `"77"` {
		t.Fatalf("got %s", got)
	}
}

func TestFailuresKeepTheirCodes(t *testing.T) {
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(nil))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	for number, want := range []struct {
		component, input string
		code             int32
	}{{"/fail", "1", -32004}, {"/panic", "1", -32004}, {"/double", `"text"`, -32003}, {"/nowhere", "1", -32001}} {
		connection.execute(want.component, 60, uint64(number+1), want.input)
		failures := connection.results().Failures
		if len(failures) != 1 || failures[0].Code != want.code || failures[0].Message == "" || !json.Valid(failures[0].Data.GetJson()) {
			t.Fatalf("%s: %v", want.component, failures)
		}
	}
}

func TestAnOutputThatFitsNoMessageFailsItsItemOnly(t *testing.T) {
	gateway := startGateway(t)
	server := testServer(nil)
	Register(server, "/big", func(_ context.Context, size int) (json.RawMessage, error) {
		return json.RawMessage(`"` + strings.Repeat("x", size) + `"`), nil
	}, Inline())
	startWorker(t, gateway, server)
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	connection.execute("/big", 60, 1, "900000", fmt.Sprint(maxOutputBytes-2), fmt.Sprint(maxOutputBytes), "1")
	done, failed := 0, 0
	for done+failed < 4 {
		results := connection.results()
		done += len(results.Executions)
		for _, one := range results.Failures {
			failed++
			if one.Execution != 3 || one.Code != -32013 {
				t.Fatalf("failed with %v", one)
			}
		}
	}
	if done != 3 || failed != 1 {
		t.Fatalf("%d done, %d failed", done, failed)
	}
}

func TestReconnectKeepsWhatRunsAndSendsAgainWhatWasNotAcknowledged(t *testing.T) {
	gate := newGate()
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(gate))
	first := gateway.next(t)
	workerID := first.hello().WorkerId
	first.welcome("s1")
	first.execute("/double", 60, 1, "1")
	first.results()
	first.acknowledge(1)
	first.execute("/double", 60, 2, "2")
	first.results()
	first.execute("/wait", 60, 3, `"a"`, `"b"`)
	gate.awaitBegun(t)
	gate.awaitBegun(t)
	first.hangUp <- status.Error(codes.Unavailable, "restarting")

	second := gateway.next(t)
	hello := second.hello()
	slices.Sort(hello.Held)
	if hello.WorkerId != workerID || hello.Session != "s1" || !slices.Equal(hello.Held, []uint64{2, 3, 4}) {
		t.Fatalf("hello is %v", hello)
	}
	second.welcome("s1", 4)
	again := second.results()
	if again.Sequence != 2 || !slices.Equal(again.Executions, []uint64{2}) {
		t.Fatalf("sent again: %v", again)
	}
	close(gate.open)
	if results := second.results(); results.Sequence != 3 || !slices.Equal(results.Executions, []uint64{3}) {
		t.Fatalf("results are %v", results)
	}
}

func TestAnotherLifeOfTheGatewayWantsNothing(t *testing.T) {
	gate := newGate()
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(gate))
	first := gateway.next(t)
	first.hello()
	first.welcome("s1")
	first.execute("/wait", 60, 1, `"a"`)
	first.execute("/double", 60, 2, "2")
	first.results()
	gate.awaitBegun(t)
	first.hangUp <- status.Error(codes.Unavailable, "gone")

	second := gateway.next(t)
	second.hello()
	second.welcome("s2")
	second.execute("/double", 60, 1, "21")
	if results := second.results(); results.Sequence != 1 || string(results.Outputs[0]) != "42" || len(results.Executions) != 1 {
		t.Fatalf("results are %v", results)
	}
}

func TestCancelIsAnsweredAtOnce(t *testing.T) {
	gate := newGate()
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(gate))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	connection.execute("/wait", 60, 1, `"a"`)
	gate.awaitBegun(t)
	connection.send(&pb.ConnectResponse{Message: &pb.ConnectResponse_Cancel{Cancel: &pb.WorkerCancel{Executions: []uint64{1, 99}}}})
	var cancelled *pb.WorkerCancelled
	var failures []*pb.WorkerFailure
	for cancelled == nil || failures == nil {
		message := <-connection.said
		if message.GetCancelled() != nil {
			cancelled = message.GetCancelled()
		}
		if message.GetResults() != nil {
			failures = message.GetResults().Failures
		}
	}
	if !slices.Equal(cancelled.Running, []uint64{1}) || len(cancelled.Dropped) != 0 {
		t.Fatalf("cancelled is %v", cancelled)
	}
	if len(failures) != 1 || failures[0].Code != -32800 {
		t.Fatalf("failures are %v", failures)
	}
}

func TestTimeOutIsKeptAndLongOnesAreReported(t *testing.T) {
	gate := newGate()
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(gate))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	begun := time.Now()
	connection.execute("/wait", 0.1, 1, `"a"`)
	connection.execute("/wait", 60, 2, `"b"`)
	if failures := connection.results().Failures; len(failures) != 1 || failures[0].Code != -32006 {
		t.Fatalf("failures are %v", failures)
	}
	if took := time.Since(begun); took < 100*time.Millisecond || took > time.Second {
		t.Fatalf("timed out after %v", took)
	}
	for message := range connection.said {
		if started := message.GetHeartbeat().GetStarted(); len(started) > 0 {
			if !slices.Equal(started, []uint64{2}) || time.Since(begun) < time.Second {
				t.Fatalf("started are %v after %v", started, time.Since(begun))
			}
			break
		}
	}
}

func TestLeavingFinishesWhatIsHeld(t *testing.T) {
	gate := newGate()
	gateway := startGateway(t)
	w := startWorker(t, gateway, testServer(gate))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	connection.execute("/wait", 60, 1, `"a"`)
	gate.awaitBegun(t)
	w.leave()
	hear(connection, (*pb.ConnectRequest).GetLeaving, func(m *pb.WorkerLeaving) bool { return m != nil })
	connection.execute("/double", 60, 2, "2")
	late := hear(connection, (*pb.ConnectRequest).GetLeaving, func(m *pb.WorkerLeaving) bool { return m != nil })
	if !slices.Equal(late.GivenBack, []uint64{2}) {
		t.Fatalf("given back: %v", late)
	}
	close(gate.open)
	if results := connection.results(); !slices.Equal(results.Executions, []uint64{1}) {
		t.Fatalf("results are %v", results)
	}
	connection.acknowledge(1)
	for range connection.said {
		// Heartbeats, to the end of the worker's side.
	}
	connection.hangUp <- nil
	if err := w.awaitEnd(t); err != nil {
		t.Fatal(err)
	}
}

func TestDrainEndsTheStreamAndComesBack(t *testing.T) {
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(nil))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	connection.send(&pb.ConnectResponse{Message: &pb.ConnectResponse_Drain{Drain: &pb.WorkerDrain{Reason: "restart"}}})
	for range connection.said {
		// Heartbeats, to the end of the worker's side.
	}
	connection.hangUp <- nil
	if hello := gateway.next(t).hello(); hello.Session != "s1" {
		t.Fatalf("hello is %v", hello)
	}
}

func TestRefusedWorkerEnds(t *testing.T) {
	gateway := startGateway(t)
	gateway.refuse = status.Error(codes.PermissionDenied, "not you")
	w := startWorker(t, gateway, testServer(nil))
	if err := w.awaitEnd(t); !errors.Is(err, flowspan.PermissionDenied) {
		t.Fatalf("ended with %v", err)
	}
}

func TestSilentGatewayIsLeft(t *testing.T) {
	gateway := startGateway(t)
	startWorker(t, gateway, testServer(nil))
	connection := gateway.next(t)
	connection.hello()
	connection.welcome("s1")
	beats := 0
	for message := range connection.said {
		if message.GetHeartbeat() != nil {
			if beats++; beats == 3 {
				return
			}
		}
	}
	t.Fatal("no heartbeats")
}

// BenchmarkWorker measures executions through one worker, over a unix socket, with as many in flight as its capacity.
func BenchmarkWorker(b *testing.B) {
	for _, inline := range []bool{false, true} {
		b.Run(fmt.Sprintf("inline=%v", inline), func(b *testing.B) {
			gateway := startGateway(b)
			server := New(Options{Capacity: 512, Logger: quiet})
			var options []Option
			if inline {
				options = append(options, Inline())
			}
			Register(server, "/echo", func(_ context.Context, input map[string]any) (map[string]any, error) { return input, nil }, options...)
			startWorker(b, gateway, server)
			connection := gateway.next(b)
			connection.hello()
			connection.welcome("s1")
			const together = 64
			inputs := slices.Repeat([]string{`{"id":12345,"name":"an item of middling size","values":[1,2,3.5,null]}`}, together)
			var flight sync.WaitGroup
			credit := make(chan struct{}, 512/together)
			flight.Go(func() {
				done := 0
				for done < b.N {
					results := connection.results()
					for range results.Executions {
						if done++; done%together == 0 {
							<-credit
						}
					}
					connection.acknowledge(results.Sequence)
				}
			})
			b.ResetTimer()
			for sent := 0; sent < b.N; sent += together {
				credit <- struct{}{}
				connection.execute("/echo", 60, uint64(sent+1), inputs...)
			}
			flight.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
