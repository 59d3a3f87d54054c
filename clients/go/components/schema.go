package components

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

const maxSchemaDepth = 16

// schemaOf is the JSON Schema of what encoding/json reads and writes for a type. What a type does by methods of its own is unknown,
// so such a type is anything. No member is required: encoding/json takes an object that lacks one.
func schemaOf(kind reflect.Type) json.RawMessage {
	schema, err := json.Marshal(describe(kind, 0))
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return schema
}

var (
	numberType    = reflect.TypeFor[json.Number]()
	timeType      = reflect.TypeFor[time.Time]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
	readerType    = reflect.TypeFor[json.Unmarshaler]()
	textType      = reflect.TypeFor[encoding.TextMarshaler]()
)

func describe(kind reflect.Type, depth int) map[string]any {
	if depth == maxSchemaDepth {
		return map[string]any{}
	}
	switch kind {
	case numberType:
		return map[string]any{"type": "number"}
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	}
	if kind.Kind() == reflect.Pointer {
		inner := describe(kind.Elem(), depth+1)
		if name, isOne := inner["type"].(string); isOne {
			inner["type"] = []string{name, "null"}
			return inner
		}
		return map[string]any{}
	}
	pointer := reflect.PointerTo(kind)
	if pointer.Implements(marshalerType) || pointer.Implements(readerType) {
		return map[string]any{}
	}
	if pointer.Implements(textType) {
		return map[string]any{"type": "string"}
	}
	switch kind.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice:
		if kind.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": []string{"string", "null"}, "contentEncoding": "base64"}
		}
		return map[string]any{"type": []string{"array", "null"}, "items": describe(kind.Elem(), depth+1)}
	case reflect.Array:
		return map[string]any{"type": "array", "items": describe(kind.Elem(), depth+1)}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": describe(kind.Elem(), depth+1)}
	case reflect.Struct:
		properties := map[string]any{}
		addProperties(kind, properties, depth)
		return map[string]any{"type": "object", "properties": properties}
	}
	return map[string]any{}
}

func addProperties(kind reflect.Type, properties map[string]any, depth int) {
	for position := range kind.NumField() {
		field := kind.Field(position)
		tag := field.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if tag == "-" {
			continue
		}
		if field.Anonymous && name == "" {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && depth < maxSchemaDepth {
				addProperties(inner, properties, depth+1)
				continue
			}
		}
		if !field.IsExported() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if strings.Contains(","+options+",", ",string,") {
			properties[name] = map[string]any{"type": "string"}
			continue
		}
		properties[name] = describe(field.Type, depth+1)
	}
}
