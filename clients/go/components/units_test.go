package components

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"flowspan.dev/go/flowspan"
)

func panicGoexit() { runtime.Goexit() }

func TestScanningAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a" : [1, {"b":"}"}] , "c\"d":"\\"}`, `{"a":"\\\"]","b":-1.5e3,"é":null,"f":true}`,
	} {
		got := map[string]json.RawMessage{}
		if err := scanObject([]byte(text), func(key string, value []byte) error {
			got[key] = append(json.RawMessage{}, value...)
			return nil
		}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		want := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{``, `[`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":"`, `{"a":1,}`, `{"a":[}`, `{a:1}`, `1`, `{"a":1} x`} {
		if scanObject([]byte(text), func(string, []byte) error { return nil }) == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func FuzzScanObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c\\\""}],"d":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		members := 0
		err := scanObject(data, func(_ string, value []byte) error {
			members++
			return scanArray(value, func([]byte) error { return nil })
		})
		if err == nil && members == 0 && json.Valid(data) && strings.Contains(string(data), ":") {
			t.Fatalf("%q has members", data)
		}
	})
}

func TestNamesWithParameters(t *testing.T) {
	server := New(Options{})
	nothing := func(context.Context, any) (any, error) { return nil, nil }
	Register(server, "users/{id}/orders/{order}", nothing)
	Register(server, "/users/me/orders/last", nothing)
	found, parameters := server.registry.find("/users/7/orders/a b")
	if found == nil || parameters["id"] != "7" || parameters["order"] != "a b" {
		t.Fatalf("found %v %v", found, parameters)
	}
	if found, parameters := server.registry.find("/users/me/orders/last"); found == nil || parameters != nil {
		t.Fatal("a plain name comes first")
	}
	for _, path := range []string{"/users/7", "/users//orders/1", "/users/7/orders/1/2"} {
		if found, _ := server.registry.find(path); found != nil {
			t.Errorf("%s was found", path)
		}
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a taken name was taken again")
		}
	}()
	Register(server, "users/me/orders/last/", nothing)
}

func TestSchemas(t *testing.T) {
	type inner struct {
		N json.Number `json:"n"`
	}
	type order struct {
		inner
		Amount float64         `json:"amount"`
		Tags   []string        `json:"tags,omitempty"`
		By     map[string]int  `json:"by"`
		When   time.Time       `json:"when"`
		Next   *order          `json:"-"`
		Raw    json.RawMessage `json:"raw"`
		Text   int             `json:"text,string"`
		Data   []byte          `json:"data"`
		Maybe  *bool           `json:"maybe"`
		Any    any             `json:"any"`
	}

	got := map[string]any{}
	if err := json.Unmarshal(schemaOf(reflect.TypeFor[order]()), &got); err != nil {
		t.Fatal(err)
	}
	properties := got["properties"].(map[string]any)
	for name, want := range map[string]string{
		"n": `{"type":"number"}`, "amount": `{"type":"number"}`, "tags": `{"items":{"type":"string"},"type":["array","null"]}`,
		"by": `{"additionalProperties":{"type":"integer"},"type":["object","null"]}`, "when": `{"format":"date-time","type":"string"}`,
		"raw": `{}`, "text": `{"type":"string"}`, "data": `{"contentEncoding":"base64","type":["string","null"]}`,
		"maybe": `{"type":["boolean","null"]}`, "any": `{}`,
	} {
		encoded, _ := json.Marshal(properties[name])
		if string(encoded) != want {
			t.Errorf("%s: %s, not %s", name, encoded, want)
		}
	}
	if len(properties) != 10 {
		t.Errorf("properties are %v", properties)
	}
	type list struct {
		Next *list `json:"next"`
	}
	if !json.Valid(schemaOf(reflect.TypeFor[list]())) {
		t.Error("a type that holds itself has no schema")
	}
}

func TestFailures(t *testing.T) {
	for _, one := range []struct {
		err  error
		code int
		data string
	}{
		{Failed("no", map[string]int{"x": 1}), -32004, `"data":{"x":1}`},
		{InvalidInput("bad", nil), -32003, `"code":"INVALID_INPUT"`},
		{Unavailable("later", 1500*time.Microsecond), -32005, `"retryAfterMs":2`},
		{&Error{Message: "m", Code: "MINE"}, -32004, `"code":"MINE"`},
		{&Error{Message: "m", Code: flowspan.CodeTimeout}, -32006, `"reason":"TIMEOUT"`},
		{errors.New("plain"), -32004, `"type":"*errors.errorString"`},
		{flowspan.NewError(flowspan.RunNotFound, "no run", nil), -32004, `"cause":"RUN_NOT_FOUND"`},
		{Failed("no", make(chan int)), -32004, `"unreadable"`},
		{Failed("no", strings.Repeat("x", 1<<20)), -32004, `"truncated":true`},
	} {
		failed := failureOf(one.err)
		if failed.code != one.code || !strings.Contains(string(failed.data), one.data) {
			t.Errorf("%v: %d %s", one.err, failed.code, failed.data)
		}
		if !json.Valid(failed.appendTo(nil)) {
			t.Errorf("%v: %s", one.err, failed.appendTo(nil))
		}
	}
	long := failureOf(errors.New(strings.Repeat("é", 10_000) + "\xff"))
	if len(long.message) > maxMessageBytes || !strings.HasSuffix(long.message, "…") {
		t.Errorf("%d bytes: %s", len(long.message), long.message[len(long.message)-10:])
	}
}

func TestContextOfAnExecution(t *testing.T) {
	type key struct{}
	server := testServer(nil)
	e := newEngine(context.WithValue(context.Background(), key{}, "value"), server)
	defer e.close()
	x := &Execution{engine: e}
	ctx := x.context()
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	if ExecutionOf(child) != x || child.Value(key{}) != "value" || ctx.Err() != nil {
		t.Fatal("the context does not know its execution")
	}
	if ExecutionOf(context.Background()) != nil {
		t.Fatal("another context has an execution")
	}
	x.end(stopTimedOut)
	<-child.Done()
	if ctx.Err() != context.DeadlineExceeded || child.Err() != context.DeadlineExceeded {
		t.Fatalf("ended with %v, %v", ctx.Err(), child.Err())
	}
	x.end(stopCancelled)
	if ctx.Err() != context.DeadlineExceeded {
		t.Fatal("the first cause counts")
	}
	late, cancelLate := context.WithCancel(ctx)
	defer cancelLate()
	<-late.Done()
}
