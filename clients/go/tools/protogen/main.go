// Protogen compiles the protocol's .proto files and writes the Go code that the two official plugins make of them.
//
// It stands in for protoc, which no Go module offers: everything that generating needs comes with `go build`, at the versions
// that tools/go.mod pins.
//
//	protogen -proto DIR -out DIR -plugins DIR
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	source    = "flowspan/v1"
	goModule  = "flowspan.dev/go"
	goPackage = goModule + "/flowspanv1"
)

func main() {
	protos := flag.String("proto", "", "directory that holds flowspan/v1")
	out := flag.String("out", "", "directory of the Go module")
	plugins := flag.String("plugins", "", "directory of protoc-gen-go and protoc-gen-go-grpc")
	flag.Parse()
	if err := generate(*protos, *out, *plugins); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func generate(protos, out, plugins string) error {
	names, err := filepath.Glob(filepath.Join(protos, source, "*.proto"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no .proto files in %s (%v)", filepath.Join(protos, source), err)
	}
	for position, name := range names {
		names[position] = source + "/" + filepath.Base(name)
	}
	sort.Strings(names)
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protos}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return err
	}
	var files []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for position := range file.Imports().Len() {
			add(file.Imports().Get(position).FileDescriptor)
		}
		files = append(files, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range compiled {
		add(file)
	}
	// The .proto files name no Go package: it is said here, as protoc's M options do.
	parameters := []string{"module=" + goModule}
	for _, name := range names {
		parameters = append(parameters, "M"+name+"="+goPackage)
	}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		request := &pluginpb.CodeGeneratorRequest{
			FileToGenerate: names,
			Parameter:      proto.String(strings.Join(parameters, ",")),
			ProtoFile:      files,
		}
		if err := run(filepath.Join(plugins, plugin), request, out); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

func run(plugin string, request *pluginpb.CodeGeneratorRequest, out string) error {
	input, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.Command(plugin)
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return err
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(output, response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, file := range response.File {
		path := filepath.Join(out, filepath.FromSlash(file.GetName()))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
