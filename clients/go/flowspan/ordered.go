package flowspan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Ordered is any JSON value with the members of its objects in the order in which they stand. It can be read into, written, and be
// the input or the output of a component, where a map would forget that order.
//
// Value is nil, a bool, a string, a json.Number, a []any or an Object, and so is what is within.
type Ordered struct{ Value any }

// Object is a JSON object as a list of its members.
type Object []Member

// Member is one member of an Object.
type Member struct {
	Name  string
	Value any
}

// Get is the value of a member. Of a name that stands there twice the last counts, as with encoding/json.
func (o Object) Get(name string) (any, bool) {
	for position := len(o) - 1; position >= 0; position-- {
		if o[position].Name == name {
			return o[position].Value, true
		}
	}
	return nil, false
}

// MarshalJSON writes the members in their order.
func (o Object) MarshalJSON() ([]byte, error) { return appendOrdered(nil, o) }

// MarshalJSON writes the value.
func (o Ordered) MarshalJSON() ([]byte, error) { return appendOrdered(nil, o.Value) }

// UnmarshalJSON reads a value.
func (o *Ordered) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := readOrdered(decoder, 0)
	if err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("there is something behind the JSON value")
	}
	o.Value = value
	return nil
}

// deepest is far beyond what a gateway takes.
const deepest = 10_000

func readOrdered(decoder *json.Decoder, depth int) (any, error) {
	if depth > deepest {
		return nil, fmt.Errorf("the JSON value nests deeper than %d levels", deepest)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			element, err := readOrdered(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, element)
		}
		_, err = decoder.Token()
		return list, err
	case json.Delim('{'):
		object := Object{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			value, err := readOrdered(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			object = append(object, Member{name.(string), value})
		}
		_, err = decoder.Token()
		return object, err
	}
	return token, nil
}

func appendOrdered(to []byte, value any) ([]byte, error) {
	var err error
	switch value := value.(type) {
	case Ordered:
		return appendOrdered(to, value.Value)
	case Object:
		to = append(to, '{')
		for position, member := range value {
			if position > 0 {
				to = append(to, ',')
			}
			if to, err = appendOrdered(to, member.Name); err != nil {
				return nil, err
			}
			to = append(to, ':')
			if to, err = appendOrdered(to, member.Value); err != nil {
				return nil, err
			}
		}
		return append(to, '}'), nil
	case []any:
		to = append(to, '[')
		for position, element := range value {
			if position > 0 {
				to = append(to, ',')
			}
			if to, err = appendOrdered(to, element); err != nil {
				return nil, err
			}
		}
		return append(to, ']'), nil
	}
	data, err := Marshal(value)
	return append(to, data...), err
}
