// Package components serves functions to a Flowspan gateway.
//
//	server := components.New(components.Options{})
//	components.Register(server, "/double", func(ctx context.Context, n int) (int, error) { return 2 * n, nil })
//	if err := server.Run(context.Background()); err != nil {
//		log.Fatal(err)
//	}
//
// Started by a gateway, as a plugin of type stdio, the server speaks over its pipes. With FLOWSPAN_QUEUE in its environment it
// connects to a gateway by itself, as a worker of that queue. The components are the same.
package components

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"flowspan.dev/go/flowspan"
)

const (
	maxCapacity     = 4_096
	defaultCapacity = 256
	queueVariable   = "FLOWSPAN_QUEUE"
)

// Options say how a server works. The zero value is a good one.
type Options struct {
	// Capacity bounds the executions that a gateway may have in flight here, waits for sub-runs not counted: 1 to 4096, 0: 256.
	Capacity int
	// Logger is nil for slog's default. It must not write to stdout.
	Logger *slog.Logger
	// Client says how a worker connects; its target and token are found as those of any client.
	Client flowspan.Options
	// Grace is how long a worker that is to end may finish what it holds; 0: 25 s.
	Grace time.Duration
}

// Server has components and serves them.
type Server struct {
	registry registry
	capacity int
	log      *slog.Logger
	client   flowspan.Options
	grace    time.Duration
}

// New makes a server without components. It panics if the capacity is out of range.
func New(options Options) *Server {
	server := &Server{capacity: options.Capacity, log: options.Logger, client: options.Client, grace: options.Grace}
	if server.capacity == 0 {
		server.capacity = defaultCapacity
	}
	if server.capacity < 1 || server.capacity > maxCapacity {
		panic(fmt.Sprintf("components: the capacity is 1 to %d, not %d", maxCapacity, options.Capacity))
	}
	if server.log == nil {
		server.log = slog.Default()
	}
	if server.grace <= 0 {
		server.grace = defaultGrace
	}
	return server
}

// Run serves until the gateway is gone (stdio), or until SIGTERM, SIGINT or the end of ctx (worker). Values of ctx are seen by
// components.
func (s *Server) Run(ctx context.Context) error {
	if queue := os.Getenv(queueVariable); queue != "" {
		return s.RunWorker(ctx, queue)
	}
	return s.RunStdio(ctx)
}

// RunStdio serves the gateway that started this process. From here on stdout is the log: whatever prints there, in this process or
// a child, goes to stderr.
func (s *Server) RunStdio(ctx context.Context) error {
	if facts, err := os.Stdin.Stat(); err == nil && facts.Mode()&os.ModeCharDevice != 0 {
		s.explain()
	}
	in, out, err := takeOverStdio()
	if err != nil {
		return fmt.Errorf("stdin and stdout cannot be taken over: %w", err)
	}
	defer in.Close()
	defer out.Close()
	return newStdioServer(ctx, s, in, out).serve(true)
}

func (s *Server) explain() {
	names := make([]string, 0, len(s.registry.ordered))
	for _, component := range s.registry.ordered {
		names = append(names, component.name)
	}
	fmt.Fprintf(os.Stderr, `This program is a Flowspan component server with %d component(s): %s
It is started by a gateway and speaks JSON-RPC on its stdin and stdout; there is nothing to type here. Name it in flowspan.yml as a
plugin of type stdio (command: %s), set %s to run it as a worker, or end it with Ctrl-D.
`, len(names), strings.Join(names, ", "), filepath.Base(os.Args[0]), queueVariable)
}

var errGatewayGone = errors.New("the gateway is gone")
