package components

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"flowspan.dev/go/flowspan"
)

// pipes are a gateway's ends of a server's stdin and stdout.
type pipes struct {
	t     *testing.T
	in    *io.PipeWriter
	lines chan string
	ended chan error
}

func startStdio(t *testing.T, server *Server) *pipes {
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	p := &pipes{t, inWrite, make(chan string, 1024), make(chan error, 1)}
	stdio := newStdioServer(context.Background(), server, inRead, outWrite)
	go func() {
		p.ended <- stdio.serve(false)
		outWrite.Close()
	}()
	go func() {
		defer close(p.lines)
		lines := bufio.NewReaderSize(outRead, 1<<20)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			p.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() { inWrite.Close() })
	return p
}

func (p *pipes) write(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pipes) read() string {
	p.t.Helper()
	select {
	case line, open := <-p.lines:
		if !open {
			p.t.Fatal("the server has ended")
		}
		if !json.Valid([]byte(line)) {
			p.t.Fatalf("not JSON: %s", line)
		}
		return line
	case <-time.After(patience):
		p.t.Fatal("the server said nothing")
		return ""
	}
}

func (p *pipes) expect(want string) {
	p.t.Helper()
	if got := p.read(); got != want {
		p.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func (p *pipes) shakeHands() {
	p.t.Helper()
	p.write(`{"jsonrpc":"2.0","id":"1-1","method":"initialize","params":{"runtimeProtocolVersion":1,"protocolVersions":[1],"capabilities":{"drain":true,"bulk":true}}}`)
	p.read()
	p.write(`{"jsonrpc":"2.0","method":"initialized","params":{}}`)
}

func bulk(component string, timeoutMS int, calls string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"$/execute","params":{"component":%q,"observability":{"trace_id":"ba23","run_id":"run",`+
		`"flow_id":"flow","step_id":"step","flags":"01"},"spanPrefix":"ed1d78","tokenPrefix":"f2-","calls":[%s],"timeoutMs":%d}}`, component, calls, timeoutMS)
}

func TestHandshakeSaysWhatTheServerKeeps(t *testing.T) {
	p := startStdio(t, testServer(nil))
	p.write(`{"jsonrpc":"2.0","id":1,"method":"components/list"}`)
	if got := p.read(); !strings.Contains(got, `"code":-32002`) {
		t.Fatal(got)
	}
	p.write(`{"jsonrpc":"2.0","id":"1-1","method":"initialize","params":{"runtimeProtocolVersion":1}}`)
	var answered struct {
		Result struct {
			Version      int            `json:"serverProtocolVersion"`
			Capabilities map[string]any `json:"capabilities"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(p.read()), &answered); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cancelAck", "timeouts", "started", "ping", "shutdown", "derivesTokens", "bulk"} {
		if answered.Result.Capabilities[name] != true {
			t.Errorf("%s is not declared", name)
		}
	}
	if answered.Result.Version != 1 || answered.Result.Capabilities["capacity"] != 8.0 {
		t.Fatalf("answered %v", answered)
	}
	p.write(`{"jsonrpc":"2.0","id":"1-2","method":"components/list","params":{}}`)
	if got := p.read(); !strings.Contains(got, `{"component":"/double","description":"Twice as much.","input_schema":{"type":"integer"}`) {
		t.Fatal(got)
	}
	p.write(`{"jsonrpc":"2.0","id":"1-3","method":"ping"}`)
	p.expect(`{"jsonrpc":"2.0","id":"1-3","result":{}}`)
	p.write(`{"jsonrpc":"2.0","id":"1-4","method":"surprise"}`)
	if got := p.read(); !strings.Contains(got, `"code":-32601`) {
		t.Fatal(got)
	}
}

func TestAnotherProtocolVersionIsRefused(t *testing.T) {
	p := startStdio(t, testServer(nil))
	p.write(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtimeProtocolVersion":2}}`)
	if got := p.read(); !strings.Contains(got, `"code":-32005`) {
		t.Fatal(got)
	}
}

func TestExecutionsAloneAndInBulk(t *testing.T) {
	p := startStdio(t, testServer(nil))
	p.shakeHands()
	p.write(`{"jsonrpc":"2.0","id":7,"method":"components/execute","params":{"component":"/double","input":21,"attempt":1}}`)
	p.expect(`{"jsonrpc":"2.0","id":7,"result":{"output":42}}`)
	p.write("", "noise that is no message", bulk("/double", 60000, `[8,0,1,4]`))
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[8,8]]}}`)
	p.write(bulk("/facts", 60000, `[255,0,1,null]`))
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[255,["f2-ff","00-ba23-ed1d7800000000ff-01","` +
		flowspan.IdempotencyToken("run", 0, "step") + `","run","step"]]]}}`)
	p.write(bulk("/nowhere", 60000, `[9,0,1,null]`))
	if got := p.read(); !strings.Contains(got, `"failures":[[9,{"code":-32001`) {
		t.Fatal(got)
	}
	p.write(bulk("/panic", 60000, `[10,0,1,{"text":"a \"quoted\\\" one","list":[1,[2,{}]]}]`))
	if got := p.read(); !strings.Contains(got, `"failures":[[10,{"code":-32004,"message":"panic: oops"`) {
		t.Fatal(got)
	}
}

func TestInlineAnswersComeInOneLine(t *testing.T) {
	server := New(Options{Logger: quiet})
	Register(server, "/raw", func(_ context.Context, input json.RawMessage) (json.RawMessage, error) { return input, nil }, Inline())
	p := startStdio(t, server)
	p.shakeHands()
	p.write(bulk("/raw", 60000, `[1,0,1,1.0],[2,1,1,-0.0],[3,2,1,{"b":1,"a":12345678901234567890}]`))
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[1,1.0],[2,-0.0],[3,{"b":1,"a":12345678901234567890}]]}}`)
}

func TestCancelTellsDroppedFromRunning(t *testing.T) {
	gate := newGate()
	p := startStdio(t, testServer(gate))
	p.shakeHands()
	p.write(bulk("/wait", 60000, `[5,0,1,"a"]`))
	gate.awaitBegun(t)
	p.write(`{"jsonrpc":"2.0","id":"c","method":"$/cancel","params":{"ids":[5,6]}}`)
	got := p.read() + p.read()
	if !strings.Contains(got, `{"dropped":[],"running":[5]}`) || !strings.Contains(got, `[5,{"code":-32800`) {
		t.Fatal(got)
	}
	p.write(`{"jsonrpc":"2.0","id":11,"method":"components/execute","params":{"component":"/wait","input":"b"}}`)
	gate.awaitBegun(t)
	p.write(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":11}}`)
	if got := p.read(); !strings.Contains(got, `"id":11,"error":{"code":-32800`) {
		t.Fatal(got)
	}
}

func TestTimeOutsAreKeptFromTheBeginning(t *testing.T) {
	gate := newGate()
	p := startStdio(t, testServer(gate))
	p.shakeHands()
	p.write(bulk("/wait", 50, `[5,0,1,"a"]`), bulk("/wait", 60000, `[6,0,1,"a"]`))
	if got := p.read(); !strings.Contains(got, `[5,{"code":-32006`) {
		t.Fatal(got)
	}
	p.expect(`{"jsonrpc":"2.0","method":"$/started","params":{"ids":[6]}}`)
}

func TestPanicsAndGoexitFailTheirItemOnly(t *testing.T) {
	server := testServer(nil)
	Register(server, "/goexit", func(context.Context, any) (any, error) {
		var once sync.Once
		once.Do(func() { panicGoexit() })
		return nil, nil
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(bulk("/goexit", 60000, `[5,0,1,"a"]`))
	if got := p.read(); !strings.Contains(got, `[5,{"code":-32004`) {
		t.Fatal(got)
	}
	p.write(bulk("/double", 60000, `[6,0,1,1]`))
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[6,2]]}}`)
}

func TestRunsAndBlobsFromInside(t *testing.T) {
	server := testServer(nil)
	Register(server, "/parent", func(ctx context.Context, _ any) (any, error) {
		x := ExecutionOf(ctx)
		blobID, err := x.PutBlob(ctx, map[string]any{"name": "f"}, flowspan.BlobFlow)
		if err != nil {
			return nil, err
		}
		status, err := x.SubmitRun(ctx, blobID, flowspan.Values(1, json.Number("2.0")), &SubmitRunOptions{Wait: true})
		if err != nil {
			return nil, err
		}
		return status.Results[1].Value, nil
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(`{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"/parent","input":null,"attempt":1,"taskToken":"tt"}}`)
	p.expect(`{"jsonrpc":"2.0","id":"g-1","method":"blobs/put","params":{"blob_type":"flow","data":{"name":"f"},"taskToken":"tt"}}`)
	p.write(`{"jsonrpc":"2.0","id":"g-1","result":{"blobId":"sha256:1","blob_id":"sha256:1"}}`)
	p.expect(`{"jsonrpc":"2.0","id":"g-2","method":"runs/submit","params":{"flowId":"sha256:1","inputs":[1,2.0],"taskToken":"tt","wait":true}}`)
	// It is asked to execute while it waits.
	p.write(`{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":"/double","input":4}}`)
	p.expect(`{"jsonrpc":"2.0","id":2,"result":{"output":8}}`)
	status := `{"runId":"r","flowId":"sha256:1","status":"success","items":{"total":2,"pending":0,"running":0,"success":2,"failed":0,"cancelled":0},` +
		`"createdAt":"2026-11-22T16:12:38.892694Z"`
	p.write(`{"jsonrpc":"2.0","id":"g-2","result":` + status + `,"resultsOmitted":{"count":2,"bytes":10,"limit":5,"next":0}}}`)
	p.expect(`{"jsonrpc":"2.0","id":"g-3","method":"runs/get","params":{"afterItemIndex":-1,"includeResults":true,"limit":2,"resultOrder":"byIndex","runId":"r","taskToken":"tt"}}`)
	p.write(`{"jsonrpc":"2.0","id":"g-3","result":` + status + `,"results":[{"itemIndex":0,"result":{"outcome":"success","value":1}},` +
		`{"itemIndex":1,"result":{"outcome":"success","value":2.0}}]}}`)
	p.expect(`{"jsonrpc":"2.0","id":1,"result":{"output":2.0}}`)
}

func TestWatchFromInsidePausesAndComesBack(t *testing.T) {
	server := testServer(nil)
	Register(server, "/watch", func(ctx context.Context, _ any) (any, error) {
		watch := ExecutionOf(ctx).WatchRun(ctx, "r", 0)
		indexes := []int{}
		for result, err := range watch.Results() {
			if err != nil {
				return nil, err
			}
			indexes = append(indexes, result.ItemIndex)
		}
		return map[string]any{"indexes": indexes, "status": watch.Status().Status.String(), "cursor": watch.Cursor()}, nil
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(`{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"/watch","taskToken":"tt"}}`)
	p.expect(`{"jsonrpc":"2.0","id":"g-1","method":"runs/watch","params":{"afterSeq":0,"runId":"r","taskToken":"tt"}}`)
	p.write(`{"jsonrpc":"2.0","method":"runs/event","params":{"watchId":"g-1","runId":"r","cursor":4,"items":[` +
		`{"itemIndex":1,"result":{"outcome":"success","value":1}},{"itemIndex":0,"result":{"outcome":"skipped"}}]}}`)
	p.write(`{"jsonrpc":"2.0","id":"g-1","result":{"runId":"r","flowId":"f","status":"success","items":{},"createdAt":"2026-11-22T16:12:38Z"}}`)
	p.expect(`{"jsonrpc":"2.0","id":1,"result":{"output":{"cursor":4,"indexes":[1,0],"status":"success"}}}`)
}

func TestWaitsDoNotCountAgainstTheTimeOut(t *testing.T) {
	server := testServer(nil)
	Register(server, "/parent", func(ctx context.Context, _ any) (string, error) {
		_, err := ExecutionOf(ctx).GetRun(ctx, "r", &GetRunOptions{Wait: true})
		return "waited", err
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(bulk("/parent", 100, `[1,0,1,null]`))
	p.read()
	time.Sleep(300 * time.Millisecond)
	p.write(`{"jsonrpc":"2.0","id":"g-1","result":{"runId":"r","flowId":"f","status":"failed","items":{},"createdAt":"2026-11-22T16:12:38Z"}}`)
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[1,"waited"]]}}`)
}

func TestErrorsOfTheGatewayComeByReason(t *testing.T) {
	server := testServer(nil)
	got := make(chan error, 1)
	Register(server, "/ask", func(ctx context.Context, _ any) (any, error) {
		_, err := ExecutionOf(ctx).GetRun(ctx, "r", nil)
		got <- err
		return nil, err
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(bulk("/ask", 0, `[1,0,1,null]`))
	p.read()
	p.write(`{"jsonrpc":"2.0","id":"g-1","error":{"code":-32014,"message":"busy","data":{"reason":"OVERLOADED","retryAfterMs":1}}}`)
	p.read() // it asks again
	p.write(`{"jsonrpc":"2.0","id":"g-2","error":{"code":-32012,"message":"no run r","data":{"reason":"RUN_NOT_FOUND","domain":"flowspan","runId":"r"}}}`)
	failure, isOurs := (<-got).(*flowspan.Error)
	if !isOurs || failure.Reason != flowspan.RunNotFound || !failure.FromPeer || failure.Details["runId"] != "r" {
		t.Fatalf("got %v", failure)
	}
	if answered := p.read(); !strings.Contains(answered, `"cause":"RUN_NOT_FOUND"`) {
		t.Fatal(answered)
	}
}

func TestShutdownWaitsForWhatRuns(t *testing.T) {
	gate := newGate()
	p := startStdio(t, testServer(gate))
	p.shakeHands()
	p.write(bulk("/wait", 60000, `[1,0,1,"a"]`))
	gate.awaitBegun(t)
	p.write(`{"jsonrpc":"2.0","id":"s","method":"shutdown"}`)
	p.expect(`{"jsonrpc":"2.0","id":"s","result":{}}`)
	close(gate.open)
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[1,"a"]]}}`)
	select {
	case err := <-p.ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the server did not end")
	}
}

func TestEndOfStdinEndsTheContexts(t *testing.T) {
	server := testServer(nil)
	ended := make(chan error, 1)
	began := make(chan struct{})
	Register(server, "/forever", func(ctx context.Context, _ any) (any, error) {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		close(began)
		<-child.Done()
		ended <- child.Err()
		return nil, child.Err()
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(bulk("/forever", 60000, `[1,0,1,"a"]`))
	<-began
	p.in.Close()
	select {
	case err := <-ended:
		if err != context.Canceled {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the context did not end")
	}
}

func TestProgressIsTold(t *testing.T) {
	server := testServer(nil)
	Register(server, "/progress", func(ctx context.Context, _ any) (any, error) {
		ExecutionOf(ctx).ReportProgress(0.25, "a quarter")
		ExecutionOf(ctx).ReportProgress(0.26, "too soon")
		ExecutionOf(ctx).ReportProgress(7, "nonsense")
		return nil, nil
	})
	p := startStdio(t, server)
	p.shakeHands()
	p.write(bulk("/progress", 60000, `[1,0,1,"a"]`))
	got := p.read()
	if strings.Contains(got, "outputs") {
		t.Fatal(got)
	}
	if !strings.Contains(got, `"method":"$/progress","params":{"fraction":0.25,"id":1,"message":"a quarter","taskToken":"f2-1"}`) {
		t.Fatal(got)
	}
	p.expect(`{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[1,null]]}}`)
}

func TestLargeLinesBothWays(t *testing.T) {
	server := testServer(nil)
	Register(server, "/echo", func(_ context.Context, text string) (string, error) { return text, nil })
	p := startStdio(t, server)
	p.shakeHands()
	text := strings.Repeat("x", 3<<20)
	go io.WriteString(p.in, bulk("/echo", 60000, `[1,0,1,"`+text+`"]`)+"\n")
	if got := p.read(); len(got) < len(text) || !strings.Contains(got[:100], `"outputs":[[1,"xxx`) {
		t.Fatalf("%d characters: %.100s", len(got), got)
	}
}

func TestLinesOfManyAnswersStayShort(t *testing.T) {
	server := New(Options{Logger: quiet})
	text := strings.Repeat("x", 4000)
	Register(server, "/text", func(context.Context, any) (string, error) { return text, nil }, Inline())
	p := startStdio(t, server)
	p.shakeHands()
	const count = 1000
	calls := make([]string, count)
	for number := range calls {
		calls[number] = fmt.Sprintf("[%d,0,1,0]", number)
	}
	p.write(bulk("/text", 60000, strings.Join(calls, ",")))
	for answers := 0; answers < count; {
		line := p.read()
		if len(line) > 1<<20 {
			t.Fatalf("a line of %d bytes", len(line))
		}
		answers += strings.Count(line, text)
	}
}

func TestNothingIsCollectedInABufferThatIsWritten(t *testing.T) {
	s := newStdioServer(context.Background(), testServer(nil), nil, nil)
	defer s.engine.close()
	s.putLine([]byte("one"))
	spare := s.take(nil)[:0]
	if nothing := s.take(spare); nothing != nil {
		t.Fatalf("took %q", nothing)
	}
	s.putLine([]byte("two"))
	written := s.take(spare)
	s.putLine([]byte("three"))
	if string(written) != "two" {
		t.Fatalf("two became %q", written)
	}
}
