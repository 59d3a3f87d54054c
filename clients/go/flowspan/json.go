package flowspan

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
)

// Marshal writes a value as JSON the way this package sends it: as encoding/json does, but without escaping <, > and &.
// json.RawMessage and json.Number stand as they are, so 1.0, -0.0 and integers of any size can be said exactly.
//
// It fails with the reason INVALID_VALUE for what has no JSON form, such as NaN.
func Marshal(value any) (json.RawMessage, error) {
	if raw, isRaw := value.(json.RawMessage); isRaw && raw != nil {
		return marshalRaw(raw)
	}
	writer := writers.Get().(*jsonWriter)
	defer writers.Put(writer)
	writer.buffer.Reset()
	if err := writer.encoder.Encode(value); err != nil {
		return nil, &Error{Reason: InvalidValue, Message: "the value cannot be written as JSON: " + err.Error(), cause: err}
	}
	written := writer.buffer.Bytes()
	return bytes.Clone(written[:len(written)-1]), nil
}

type jsonWriter struct {
	buffer  bytes.Buffer
	encoder *json.Encoder
}

var writers = sync.Pool{New: func() any {
	writer := &jsonWriter{}
	writer.encoder = json.NewEncoder(&writer.buffer)
	writer.encoder.SetEscapeHTML(false)
	return writer
}}

func marshalRaw(raw json.RawMessage) (json.RawMessage, error) {
	if !json.Valid(raw) {
		return nil, &Error{Reason: InvalidValue, Message: "a json.RawMessage holds something that is no JSON"}
	}
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 {
		return raw, nil
	}
	// Line ends outside of strings mean nothing, and a message is one line on some wires.
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, &Error{Reason: InvalidValue, Message: err.Error(), cause: err}
	}
	return compact.Bytes(), nil
}

// Unmarshal reads JSON into value as encoding/json does, but numbers that go into an `any` become json.Number, which loses
// nothing.
func Unmarshal(data []byte, value any) error {
	if raw, isRaw := value.(*json.RawMessage); isRaw {
		*raw = bytes.Clone(data)
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(value); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return &Error{Reason: ParseError, Message: "there is something behind the JSON value"}
	}
	return nil
}
