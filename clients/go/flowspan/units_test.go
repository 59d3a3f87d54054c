package flowspan

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	pb "flowspan.dev/go/flowspanv1"
	"google.golang.org/protobuf/proto"
)

func TestIdempotencyTokensAreThoseOfTheGateway(t *testing.T) {
	// The first is that of the transcript in docs/protocol/stdio.md.
	for _, one := range []struct {
		run   string
		item  int
		step  string
		token string
	}{
		{"01a20405-1cb2-7994-b237-b12c826b5016", 0, "all", "662gikzkpxm6pbnlgmaotghac6"},
		{"01a20405-1cb6-703f-8446-651016d593e2", 0, "one", "abdhx6ipojm5wf3ro6fue3wbqk"},
		{"run", 12345, "é step", "cjdevw3zheqdtuwxqlazwdeagu"},
	} {
		if got := IdempotencyToken(one.run, one.item, one.step); got != one.token {
			t.Errorf("%v: %s", one, got)
		}
	}
}

func TestJSONKeepsWhatItIsGiven(t *testing.T) {
	for _, text := range []string{
		"1", "1.0", "-0.0", "-0", "1e300", "9007199254740993", "123456789012345678901234567890123456789012345678901234567890",
		`"é\u0001<>&😀"`, `{"a":[1,2.50,{"b":null}]}`, "[[[[]]]]", `""`, "true",
	} {
		var value any
		if err := Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		got, err := Marshal(value)
		if err != nil || string(got) != text {
			t.Errorf("%s became %s (%v)", text, got, err)
		}
		var ordered Ordered
		if err := Unmarshal([]byte(text), &ordered); err != nil {
			t.Fatal(err)
		}
		if got, err := Marshal([]any{ordered}); err != nil || string(got) != "["+text+"]" {
			t.Errorf("%s became %s (%v)", text, got, err)
		}
		raw, err := Marshal(json.RawMessage(text))
		if err != nil || string(raw) != text {
			t.Errorf("%s became %s (%v)", text, raw, err)
		}
	}
	if got, err := Marshal(json.RawMessage("{\n\"b\":1,\r\n\"a\":\"x\\n\"}")); err != nil || string(got) != `{"b":1,"a":"x\n"}` {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []any{math.NaN(), math.Inf(1), make(chan int), json.RawMessage("{"), json.RawMessage("1 2"), json.Number("x")} {
		if _, err := Marshal(bad); !errors.Is(err, InvalidValue) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	var value any
	for _, bad := range []string{"", "{", "1 2", "nul"} {
		if Unmarshal([]byte(bad), &value) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestOrderedKeepsTheOrderOfMembers(t *testing.T) {
	const text = `{"b":1,"a":{"z":[{"y":1.0,"x":null}],"c":"<>"},"é":2,"":3,"b":4,"10":5,"9":6}`
	var value struct{ In Ordered }
	if err := json.Unmarshal([]byte(`{"In":`+text+`}`), &value); err != nil {
		t.Fatal(err)
	}
	if got, err := Marshal(value.In); err != nil || string(got) != text {
		t.Errorf("%s became %s (%v)", text, got, err)
	}
	object := value.In.Value.(Object)
	if b, there := object.Get("b"); !there || b != json.Number("4") {
		t.Errorf("b is %v", b)
	}
	if _, there := object.Get("none"); there {
		t.Error("there is a member that is not there")
	}
	for _, bad := range []string{"", "{", "[1", "[1] 2", `{"a"}`} {
		if (&Ordered{}).UnmarshalJSON([]byte(bad)) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := Marshal(Object{{"f", math.NaN()}}); !errors.Is(err, InvalidValue) {
		t.Errorf("NaN was written: %v", err)
	}
}

func TestDelaysGrowAndKeepWhatTheGatewayNames(t *testing.T) {
	policy := RetryPolicy{FirstDelay: 100 * time.Millisecond, LongestDelay: time.Second}
	plain := NewError(Unavailable, "", nil)
	for retry, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		want *= time.Millisecond
		if least, most := policy.delay(retry, 0, plain), policy.delay(retry, 1, plain); least != want/2 || most != want {
			t.Errorf("retry %d: %v to %v", retry, least, most)
		}
	}
	if policy.delay(60, 1, plain) != time.Second {
		t.Error("the delay overflows")
	}
	named := NewError(Overloaded, "", map[string]any{"retryAfterMs": json.Number("40")})
	if least, most := policy.delay(3, 0, named), policy.delay(3, 1, named); least != 40*time.Millisecond || most != 50*time.Millisecond {
		t.Errorf("named: %v to %v", least, most)
	}
}

func TestAnyPrefixFoldedAndTheRestEqualTheWhole(t *testing.T) {
	whole := runFold{}
	want, err := whole.apply(aLog(6)[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 6; cut++ {
		fold := runFold{}
		segments := aLog(cut, 6-cut)
		got, err := fold.apply(segments[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		// The resumed stream repeats a segment that was seen in part.
		if got, err = fold.apply(proto.Clone(aLog(6)[0]).(*pb.Segment), got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(fold.snapshot(), whole.snapshot()) {
			t.Fatalf("cut at %d: %+v, not %+v", cut, got, want)
		}
	}
}

func TestCountsAfterACancel(t *testing.T) {
	fold := runFold{
		description: &runDescription{Total: 10, MaxConcurrency: 3}, closing: true, started: 5, success: 2, failed: 1, status: StatusRunning,
	}
	if got := fold.counts(); got != (ItemCounts{Total: 10, Running: 2, Success: 2, Failed: 1, Cancelled: 5}) {
		t.Fatalf("counts are %+v", got)
	}
}

func TestDiscoveryBelievesOnlyWhatIsOurs(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", directory)
	t.Setenv("FLOWSPAN_TARGET", "")
	t.Setenv("FLOWSPAN_TOKEN", "")
	if _, _, err := FindTarget("", ""); !errors.Is(err, Unavailable) {
		t.Fatalf("found something: %v", err)
	}
	servers := filepath.Join(directory, "flowspan", "servers")
	if err := os.MkdirAll(servers, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(pid int, target string, mode os.FileMode, age time.Duration) {
		t.Helper()
		path := filepath.Join(servers, fmt.Sprintf("%d-%s.json", pid, target))
		content := fmt.Sprintf(`{"target":"unix:/%s","pid":%d,"token":"t-%s","addresses":["127.0.0.1:1%d","unix:/%s"]}`, target, pid, target, len(target), target)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	own := os.Getpid()
	write(own, "old", 0o600, time.Hour)
	write(own, "newer", 0o600, time.Minute)
	write(own, "foreign", 0o644, 0)
	write(1<<30, "dead", 0o600, 0)
	target, token, err := FindTarget("", "")
	if err != nil || target != "unix:/newer" || token != "t-newer" {
		t.Fatalf("found %s %s %v", target, token, err)
	}
	if target, token, _ := FindTarget("localhost:13", ""); target != "localhost:13" || token != "t-old" {
		t.Fatalf("found %s %s", target, token)
	}
	t.Setenv("FLOWSPAN_TARGET", "elsewhere:1")
	t.Setenv("FLOWSPAN_TOKEN", "named")
	if target, token, _ := FindTarget("", ""); target != "elsewhere:1" || token != "named" {
		t.Fatalf("found %s %s", target, token)
	}
	if target, token, _ := FindTarget("given:1", "mine"); target != "given:1" || token != "mine" {
		t.Fatalf("found %s %s", target, token)
	}
}

func TestEveryReasonHasItsCodes(t *testing.T) {
	for reason, codes := range codesOf {
		if codes.jsonrpc == 0 || reason.GRPC() == "" || !reason.IsKnown() {
			t.Errorf("%s: %v", reason, codes)
		}
	}
	if Reason("NEWER").IsKnown() {
		t.Error("an unknown reason is known")
	}
}
