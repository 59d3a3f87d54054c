package components

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"flowspan.dev/go/flowspan"
)

// maxComponents is the longest list that a gateway takes.
const maxComponents = 10_000

// component is one component: its name begins with a slash and may have parameters in braces.
type component struct {
	name         string
	description  string
	inline       bool
	inputSchema  json.RawMessage
	outputSchema json.RawMessage
	parts        []string // of a name with parameters
	call         func(ctx context.Context, input []byte) (json.RawMessage, error)
}

// registry finds components by the path that the gateway names.
type registry struct {
	ordered   []*component
	byName    map[string]*component
	templates []*component
}

func (r *registry) add(found *component) {
	name := "/" + strings.Trim(found.name, "/")
	if name == "/" {
		panic("components: a component needs a name")
	}
	found.name = name
	if r.byName == nil {
		r.byName = map[string]*component{}
	}
	if _, taken := r.byName[name]; taken {
		panic("components: there is already a component " + name)
	}
	if len(r.ordered) == maxComponents {
		panic(fmt.Sprintf("components: a server offers at most %d components", maxComponents))
	}
	r.ordered = append(r.ordered, found)
	r.byName[name], r.byName[name[1:]] = found, found
	if strings.Contains(name, "{") {
		found.parts = strings.Split(name[1:], "/")
		r.templates = append(r.templates, found)
	}
}

// find gives the component of a path and the values of its parameters; nil if there is none.
func (r *registry) find(path string) (*component, map[string]string) {
	if found := r.byName[path]; found != nil {
		return found, nil
	}
	for _, template := range r.templates {
		if parameters := template.match(path); parameters != nil {
			return template, parameters
		}
	}
	return nil, nil
}

func (c *component) match(path string) map[string]string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) != len(c.parts) {
		return nil
	}
	parameters := map[string]string{}
	for position, part := range c.parts {
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") {
			if parts[position] == "" {
				return nil
			}
			parameters[part[1:len(part)-1]] = parts[position]
		} else if part != parts[position] {
			return nil
		}
	}
	return parameters
}

// info is the entry of components/list.
func (c *component) info() map[string]any {
	info := map[string]any{"component": c.name, "name": c.name}
	if c.description != "" {
		info["description"] = c.description
	}
	if c.inputSchema != nil {
		info["input_schema"] = c.inputSchema
	}
	if c.outputSchema != nil {
		info["output_schema"] = c.outputSchema
	}
	return info
}

// Option says more about a component.
type Option func(*component)

// Description says what a component does, for people.
func Description(text string) Option { return func(c *component) { c.description = text } }

// Inline runs a component where requests are read, without a goroutine of its own. Only for small pure functions: what blocks
// there blocks all others, and no time-out is kept.
func Inline() Option { return func(c *component) { c.inline = true } }

// InputSchema publishes a JSON Schema in place of the one made from the Go type.
func InputSchema(schema json.RawMessage) Option { return func(c *component) { c.inputSchema = schema } }

// OutputSchema publishes a JSON Schema in place of the one made from the Go type.
func OutputSchema(schema json.RawMessage) Option {
	return func(c *component) { c.outputSchema = schema }
}

// Register adds a component: a function from an input to an output. Both are decoded and encoded as encoding/json does;
// json.RawMessage gets and gives the JSON itself, and an `any` gets its numbers as json.Number. An input that does not fit In is
// answered with INVALID_INPUT, and the function is not called.
//
// Path is the name that flows use, behind the plugin's route; parts in braces are parameters: "/users/{id}". Register panics if the
// path is empty or taken, and must not be called once the server runs.
func Register[In, Out any](server *Server, path string, function func(ctx context.Context, input In) (Out, error), options ...Option) {
	added := &component{name: path}
	decode := decoderFor[In]()
	added.call = func(ctx context.Context, input []byte) (json.RawMessage, error) {
		var value In
		if err := decode(input, &value); err != nil {
			return nil, newInputError(err)
		}
		output, err := function(ctx, value)
		if err != nil {
			return nil, err
		}
		return flowspan.Marshal(output)
	}
	added.inputSchema = schemaOf(reflect.TypeFor[In]())
	added.outputSchema = schemaOf(reflect.TypeFor[Out]())
	for _, option := range options {
		option(added)
	}
	server.registry.add(added)
}

func decoderFor[In any]() func(data []byte, value *In) error {
	kind := reflect.TypeFor[In]()
	switch {
	case kind == reflect.TypeFor[json.RawMessage]():
		return func(data []byte, value *In) error {
			*any(value).(*json.RawMessage) = data
			return nil
		}
	case holdsAny(kind, map[reflect.Type]bool{}):
		return func(data []byte, value *In) error { return flowspan.Unmarshal(data, value) }
	}
	return func(data []byte, value *In) error { return json.Unmarshal(data, value) }
}

// holdsAny tells whether values of unknown type may be within: their numbers would be read as float64 unless asked otherwise,
// which takes a slower way.
func holdsAny(kind reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[kind] {
		return false
	}
	seen[kind] = true
	switch kind.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsAny(kind.Elem(), seen)
	case reflect.Struct:
		for position := range kind.NumField() {
			if holdsAny(kind.Field(position).Type, seen) {
				return true
			}
		}
	}
	return false
}
