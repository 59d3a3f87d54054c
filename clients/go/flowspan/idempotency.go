package flowspan

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
)

var tokenDigits = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const tokenLength = 26

// IdempotencyToken is what makes a repeated execution recognisable: equal over all attempts of a step of an item. Gateways derive
// the same.
func IdempotencyToken(runID string, itemIndex int, stepID string) string {
	text := make([]byte, 0, 160)
	for _, part := range [...]string{runID, strconv.Itoa(itemIndex), stepID} {
		// The length in front keeps two triples from running together.
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(text, ':')
		text = append(text, part...)
	}
	digest := sha256.Sum256(text)
	return tokenDigits.EncodeToString(digest[:17])[:tokenLength]
}
