// Package flowspan is the client of a Flowspan gateway: it stores flows, submits runs, follows them to their end and reads their
// results.
//
//	client, err := flowspan.NewClient(flowspan.Options{})
//	...
//	defer client.Close()
//	status, err := client.Run(ctx, "flow.yaml", flowspan.Slice([]int{1, 2, 3}), nil)
//
// Every error of a call is an *Error with a Reason; items that fail are data of the run. A client may be used by many goroutines.
package flowspan

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	pb "flowspan.dev/go/flowspanv1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// Version of this SDK.
const Version = "0.1.0"

const (
	// The gateway's own bound on what it receives; its answers are smaller.
	maxMessageBytes = 16 << 20
	// Watches read as fast as they can: the usual 64 KiB would be a round trip each.
	windowBytes       = 4 << 20
	defaultTimeout    = 10 * time.Second
	taskTokenMetadata = "flowspan-task-token"
	// Bound of the answer to a streamed submit or blob: its size decides how long the last commit takes.
	commitTimeout = 60 * time.Second
)

// Options say where a client connects and how patient it is. The zero value is a good one.
type Options struct {
	// Target is "host:port" or "unix:PATH". Empty: FLOWSPAN_TARGET, else the gateway that runs on this machine.
	Target string
	// Token is sent with every call. Empty: FLOWSPAN_TOKEN, else that of the gateway that was found.
	Token string
	// TLS is nil for plain text.
	TLS *tls.Config
	// Timeout bounds each unary call with its retries; 0: 10 s. A context with an earlier deadline wins.
	Timeout time.Duration
	// Retry is nil for the usual policy.
	Retry *RetryPolicy
	// DialOptions are added to those of this package.
	DialOptions []grpc.DialOption
}

// RetryPolicy says how often calls are repeated, and how far apart.
type RetryPolicy struct {
	// MaxRetries is the number of tries after the first one of a call.
	MaxRetries int
	// FirstDelay bounds the wait before the first of them; it doubles with each.
	FirstDelay time.Duration
	// LongestDelay is where the doubling ends.
	LongestDelay time.Duration
	// GiveUpAfter is how long a watch tries to resume without receiving anything; 0: for ever.
	GiveUpAfter time.Duration
}

// DefaultRetryPolicy is what a client without a policy of its own keeps to.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{MaxRetries: 2, FirstDelay: 200 * time.Millisecond, LongestDelay: 5 * time.Second, GiveUpAfter: time.Minute}
}

// delay is how long to wait before retry number retry, from 0. A time that the gateway named is kept; up to a quarter is added to
// it. Dice are 0 to 1, so that clients do not come back together.
func (p *RetryPolicy) delay(retry int, dice float64, failure *Error) time.Duration {
	if named, ok := failure.RetryAfter(); ok {
		return time.Duration(float64(named) * (1 + dice/4))
	}
	ceiling := min(p.LongestDelay, p.FirstDelay<<min(retry, 20))
	return time.Duration(float64(ceiling) * (0.5 + dice/2))
}

// Client is a client of one gateway. It connects with its first call.
type Client struct {
	target  string
	timeout time.Duration
	policy  RetryPolicy
	raw     Raw
	// Watches have a connection of their own, so that a slow watcher never holds up a call.
	watches   pb.RunServiceClient
	health    healthpb.HealthClient
	conns     []*grpc.ClientConn
	closed    *atomic.Bool
	taskToken string
}

// Raw has the generated stubs, over a client's connection and with its token. Nothing is repeated and errors are gRPC's.
type Raw struct {
	Runs       pb.RunServiceClient
	Flows      pb.FlowServiceClient
	Blobs      pb.BlobServiceClient
	Components pb.ComponentServiceClient
	Workers    pb.WorkerServiceClient
}

// NewClient makes a client. It fails if no gateway is named and none is found.
func NewClient(options Options) (*Client, error) {
	target, token, err := FindTarget(options.Target, options.Token)
	if err != nil {
		return nil, err
	}
	client := &Client{target: target, timeout: options.Timeout, policy: DefaultRetryPolicy(), closed: new(atomic.Bool)}
	if client.timeout <= 0 {
		client.timeout = defaultTimeout
	}
	if options.Retry != nil {
		client.policy = *options.Retry
	}
	for range 2 {
		conn, err := grpc.NewClient(target, dialOptions(target, token, &options)...)
		if err != nil {
			return nil, &Error{Reason: InvalidArgument, Message: err.Error(), Details: map[string]any{"field": "target"}, cause: err}
		}
		client.conns = append(client.conns, conn)
	}
	calls := client.conns[0]
	client.raw = Raw{
		Runs:       pb.NewRunServiceClient(calls),
		Flows:      pb.NewFlowServiceClient(calls),
		Blobs:      pb.NewBlobServiceClient(calls),
		Components: pb.NewComponentServiceClient(calls),
		Workers:    pb.NewWorkerServiceClient(calls),
	}
	client.health = healthpb.NewHealthClient(calls)
	client.watches = pb.NewRunServiceClient(client.conns[1])
	return client, nil
}

func dialOptions(target, token string, options *Options) []grpc.DialOption {
	transport := insecure.NewCredentials()
	if options.TLS != nil {
		transport = credentials.NewTLS(options.TLS)
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			// The least that gRPC allows: a peer that hangs is noticed within 15 s.
			Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true,
		}),
		// A gateway that restarts is back within 2 s; the usual back-off would wait far longer.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(2 * windowBytes),
		grpc.WithUserAgent("flowspan-go/" + Version),
		// Retries are ours: with a request id, or not at all.
		grpc.WithDisableRetry(),
	}
	if token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{token, options.TLS != nil}))
	}
	for _, local := range []string{"127.", "localhost:", "[::1]:"} {
		if strings.HasPrefix(target, local) {
			dial = append(dial, grpc.WithNoProxy())
		}
	}
	return append(dial, options.DialOptions...)
}

// bearer is the token of every call.
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity is false without TLS: on a unix socket and on loopback the token travels in the clear.
func (b bearer) RequireTransportSecurity() bool { return b.secure }

// Target is where the client connects.
func (c *Client) Target() string { return c.target }

// Raw gives the generated stubs.
func (c *Client) Raw() Raw { return c.raw }

// Close ends all calls and watches. Harmless if repeated.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	var failures []error
	for _, conn := range c.conns {
		failures = append(failures, conn.Close())
	}
	return errors.Join(failures...)
}

// ForTask gives a client that acts on behalf of an execution, over the same connections: its runs are sub-runs of that execution,
// and it has the rights of its run. Closing one closes both.
func (c *Client) ForTask(taskToken string) *Client {
	client := *c
	client.taskToken = taskToken
	return &client
}

// Health tells whether the gateway takes calls. It fails with UNAVAILABLE if it cannot be reached.
func (c *Client) Health(ctx context.Context) (bool, error) {
	answer, err := unary(ctx, c, c.health.Check, &healthpb.HealthCheckRequest{}, always)
	if err != nil {
		return false, err
	}
	return answer.GetStatus() == healthpb.HealthCheckResponse_SERVING, nil
}

func (c *Client) outgoing(ctx context.Context) context.Context {
	if c.taskToken == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, taskTokenMetadata, c.taskToken)
}

// repetition says whether a call that failed so is made again.
type repetition func(failure *Error) bool

func always(failure *Error) bool { return failure.Retryable() }

func never(*Error) bool { return false }

// unlessApplied is for calls whose repetition would have an effect of its own: only where the first had none.
func unlessApplied(failure *Error) bool {
	if !failure.Retryable() {
		return false
	}
	if failure.FromPeer {
		return failure.Details["outcome"] != "unknown"
	}
	return strings.Contains(failure.Message, "Error while dialing")
}

// unary calls until it succeeds, fails for good, or the time or the retries are used up.
func unary[Q, A any](
	ctx context.Context, c *Client, method func(context.Context, Q, ...grpc.CallOption) (A, error), request Q, repeat repetition,
) (A, error) {
	bounded, cancel := context.WithTimeout(c.outgoing(ctx), c.timeout)
	defer cancel()
	return repeated(ctx, bounded, c, repeat, func() (A, error) { return method(bounded, request) })
}

// repeated tries as the policy says. bounded is ctx with the bound on all tries together.
func repeated[A any](ctx, bounded context.Context, c *Client, repeat repetition, once func() (A, error)) (A, error) {
	for retry := 0; ; retry++ {
		answer, err := once()
		if err == nil {
			return answer, nil
		}
		failure := ErrorFromRPC(ctx, err)
		if !repeat(failure) || retry >= c.policy.MaxRetries || c.closed.Load() {
			return answer, failure
		}
		delay := c.policy.delay(retry, rand.Float64(), failure)
		if deadline, bound := bounded.Deadline(); bound && time.Until(deadline) <= delay {
			return answer, failure
		}
		if pause(ctx, delay) != nil {
			return answer, ErrorFromRPC(ctx, ctx.Err())
		}
	}
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// steps bounds each step of a stream instead of the whole: how long that takes, its size decides.
type steps struct {
	context.Context
	cancel context.CancelFunc
	timer  *time.Timer
	late   atomic.Bool
}

func newSteps(ctx context.Context) *steps {
	s := &steps{}
	s.Context, s.cancel = context.WithCancel(ctx)
	return s
}

// within bounds what follows.
func (s *steps) within(bound time.Duration) {
	if s.timer == nil {
		s.timer = time.AfterFunc(bound, func() {
			s.late.Store(true)
			s.cancel()
		})
		return
	}
	s.timer.Reset(bound)
}

func (s *steps) end() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.cancel()
}

// failure tells a step that took too long from what the gateway said.
func (s *steps) failure(ctx context.Context, err error) error {
	if s.late.Load() && ctx.Err() == nil {
		return &Error{Reason: Timeout, Message: "the gateway did not move for too long"}
	}
	return ErrorFromRPC(ctx, err)
}
