package flowspan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	pb "flowspan.dev/go/flowspanv1"
)

const (
	// A larger blob is streamed; the gateway takes at most 3.5 MiB in one message.
	unaryBlobBytes = 3 << 20
	chunkBytes     = 1 << 20
)

// BlobType says what the bytes of a blob are.
type BlobType string

// The types of blobs. JSON blobs are named by the hash of their canonical form, binary ones by that of their bytes.
const (
	BlobData   BlobType = "data"
	BlobFlow   BlobType = "flow"
	BlobBinary BlobType = "binary"
)

var blobTypeNumbers = map[BlobType]pb.BlobType{
	BlobData: pb.BlobType_BLOB_TYPE_DATA, BlobFlow: pb.BlobType_BLOB_TYPE_FLOW, BlobBinary: pb.BlobType_BLOB_TYPE_BINARY,
}

// Blob is what was stored under an id: the bytes first put.
type Blob struct {
	BlobID string
	Type   BlobType
	Data   []byte
}

// Decode reads the JSON of a blob that is not binary.
func (b *Blob) Decode(value any) error {
	if b.Type == BlobBinary {
		return NewError(InvalidArgument, "the blob is binary: use its Data", nil)
	}
	return Unmarshal(b.Data, value)
}

// EncodeBlob gives the bytes that PutBlob stores: []byte as they stand, anything else as JSON. An empty type is binary for []byte,
// else data.
func EncodeBlob(value any, blobType BlobType) ([]byte, BlobType, error) {
	if data, isBytes := value.([]byte); isBytes {
		if blobType == "" {
			blobType = BlobBinary
		}
		return data, blobType, checkBlobType(blobType)
	}
	if blobType == "" {
		blobType = BlobData
	}
	data, err := Marshal(value)
	if err != nil {
		return nil, blobType, err
	}
	return data, blobType, checkBlobType(blobType)
}

func checkBlobType(blobType BlobType) error {
	if _, known := blobTypeNumbers[blobType]; !known {
		message := fmt.Sprintf("a blob is of type data, flow or binary, not %q", blobType)
		return NewError(InvalidArgument, message, map[string]any{"field": "blobType"})
	}
	return nil
}

// PutBlob stores a blob of any size; its id. See EncodeBlob for what is stored. JSON that is at hand is given as json.RawMessage.
func (c *Client) PutBlob(ctx context.Context, value any, blobType BlobType) (string, error) {
	data, blobType, err := EncodeBlob(value, blobType)
	if err != nil {
		return "", err
	}
	number := blobTypeNumbers[blobType]
	if len(data) <= unaryBlobBytes {
		answer, err := unary(ctx, c, c.raw.Blobs.PutBlob, &pb.PutBlobRequest{Data: data, BlobType: number}, always)
		if err != nil {
			return "", err
		}
		return answer.GetInfo().GetBlobId(), nil
	}
	answer, err := repeated(ctx, ctx, c, always, func() (*pb.WriteBlobResponse, error) { return c.writeBlob(ctx, data, number) })
	if err != nil {
		return "", err
	}
	return answer.GetInfo().GetBlobId(), nil
}

func (c *Client) writeBlob(ctx context.Context, data []byte, number pb.BlobType) (*pb.WriteBlobResponse, error) {
	bounded := newSteps(c.outgoing(ctx))
	defer bounded.end()
	bounded.within(c.timeout)
	stream, err := c.raw.Blobs.WriteBlob(bounded)
	if err != nil {
		return nil, bounded.failure(ctx, err)
	}
	header := &pb.WriteBlobHeader{BlobType: number}
	err = stream.Send(&pb.WriteBlobRequest{Part: &pb.WriteBlobRequest_Header{Header: header}})
	for start := 0; start < len(data) && err == nil; start += chunkBytes {
		chunk := data[start:min(start+chunkBytes, len(data))]
		bounded.within(c.timeout)
		err = stream.Send(&pb.WriteBlobRequest{Part: &pb.WriteBlobRequest_Chunk{Chunk: chunk}})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, bounded.failure(ctx, err)
	}
	bounded.within(commitTimeout)
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return nil, bounded.failure(ctx, err)
	}
	return answer, nil
}

// GetBlob reads a blob of any size.
func (c *Client) GetBlob(ctx context.Context, blobID string) (*Blob, error) {
	return repeated(ctx, ctx, c, always, func() (*Blob, error) { return c.downloadBlob(ctx, blobID) })
}

func (c *Client) downloadBlob(ctx context.Context, blobID string) (*Blob, error) {
	bounded := newSteps(c.outgoing(ctx))
	defer bounded.end()
	bounded.within(c.timeout)
	stream, err := c.raw.Blobs.ReadBlob(bounded, &pb.ReadBlobRequest{BlobId: blobID})
	if err != nil {
		return nil, bounded.failure(ctx, err)
	}
	var info *pb.BlobInfo
	var data bytes.Buffer
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bounded.failure(ctx, err)
		}
		bounded.within(c.timeout)
		if part.GetInfo() != nil {
			info = part.GetInfo()
		}
		data.Write(part.GetChunk())
	}
	if info == nil {
		return nil, &Error{Reason: Internal, Message: "the gateway sent a blob without its header", FromPeer: true}
	}
	if uint64(data.Len()) != info.GetSize() {
		message := fmt.Sprintf("blob %s has %d bytes, %d came", blobID, info.GetSize(), data.Len())
		return nil, NewError(HashMismatch, message, map[string]any{"blobId": blobID})
	}
	blob := &Blob{BlobID: info.GetBlobId(), Type: BlobData, Data: data.Bytes()}
	for blobType, number := range blobTypeNumbers {
		if number == info.GetBlobType() {
			blob.Type = blobType
		}
	}
	return blob, nil
}

func (c *Client) readBlob(ctx context.Context, blobID string) ([]byte, error) {
	blob, err := c.GetBlob(ctx, blobID)
	if err != nil {
		return nil, err
	}
	return blob.Data, nil
}

// Component is what flows can name by Path. Schemas are nil where they are not known.
type Component struct {
	Path         string
	Plugin       string
	Description  string
	InputSchema  json.RawMessage
	OutputSchema json.RawMessage
}

// Plugin is a configured plugin. Health is starting, up, backingOff, circuitOpen or broken.
type Plugin struct {
	Name       string
	Type       string
	Health     string
	Detail     string
	Restarts   int
	Capacity   int
	InFlight   int
	StderrTail []string
}

var healthWords = map[pb.PluginHealth]string{
	pb.PluginHealth_PLUGIN_HEALTH_STARTING:     "starting",
	pb.PluginHealth_PLUGIN_HEALTH_UP:           "up",
	pb.PluginHealth_PLUGIN_HEALTH_BACKING_OFF:  "backingOff",
	pb.PluginHealth_PLUGIN_HEALTH_CIRCUIT_OPEN: "circuitOpen",
	pb.PluginHealth_PLUGIN_HEALTH_BROKEN:       "broken",
}

// ListComponents gives what flows can name, by path, and the plugins that offer it, by name.
func (c *Client) ListComponents(ctx context.Context) ([]Component, []Plugin, error) {
	answer, err := unary(ctx, c, c.raw.Components.ListComponents, &pb.ListComponentsRequest{}, always)
	if err != nil {
		return nil, nil, err
	}
	components := make([]Component, 0, len(answer.GetComponents()))
	for _, found := range answer.GetComponents() {
		component := Component{Path: found.GetPath(), Plugin: found.GetPlugin(), Description: found.GetDescription()}
		if component.InputSchema, err = jsonBytes(ctx, found.GetInputSchema(), c.readBlob); err != nil {
			return nil, nil, err
		}
		if component.OutputSchema, err = jsonBytes(ctx, found.GetOutputSchema(), c.readBlob); err != nil {
			return nil, nil, err
		}
		components = append(components, component)
	}
	plugins := make([]Plugin, 0, len(answer.GetPlugins()))
	for _, p := range answer.GetPlugins() {
		plugins = append(plugins, Plugin{
			p.GetName(), p.GetType(), healthWords[p.GetHealth()], p.GetDetail(), int(p.GetRestarts()), int(p.GetCapacity()),
			int(p.GetInFlight()), p.GetStderrTail(),
		})
	}
	return components, plugins, nil
}
