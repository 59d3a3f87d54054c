package components

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// What the gateway sends is cut into its values without decoding them: a value is decoded once, by the component that it is for,
// and may be as long as a line. The gateway has checked it; what is malformed all the same is told by errScan or by that decoding.

var errScan = errors.New("malformed JSON")

func skipSpace(data []byte, at int) int {
	for at < len(data) {
		switch data[at] {
		case ' ', '\t', '\r', '\n':
			at++
		default:
			return at
		}
	}
	return at
}

// skipString gives the position behind the closing quote of the string that begins at `at`.
func skipString(data []byte, at int) (int, error) {
	for from := at + 1; ; {
		found := bytes.IndexByte(data[from:], '"')
		if found < 0 {
			return 0, errScan
		}
		end := from + found
		escapes := 0
		for position := end - 1; position > at && data[position] == '\\'; position-- {
			escapes++
		}
		if escapes%2 == 0 {
			return end + 1, nil
		}
		from = end + 1
	}
}

// skipValue gives the position behind the value that begins at `at`.
func skipValue(data []byte, at int) (int, error) {
	if at >= len(data) {
		return 0, errScan
	}
	switch data[at] {
	case '"':
		return skipString(data, at)
	case '{', '[':
		depth := 0
		for at < len(data) {
			switch data[at] {
			case '"':
				end, err := skipString(data, at)
				if err != nil {
					return 0, err
				}
				at = end
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
				if depth == 0 {
					return at + 1, nil
				}
			}
			at++
		}
		return 0, errScan
	}
	begin := at
	for at < len(data) {
		switch data[at] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			if at == begin {
				return 0, errScan
			}
			return at, nil
		}
		at++
	}
	if at == begin {
		return 0, errScan
	}
	return at, nil
}

// scanObject calls take with each member of the object that data is.
func scanObject(data []byte, take func(key string, value []byte) error) error {
	at := skipSpace(data, 0)
	if at >= len(data) || data[at] != '{' {
		return errScan
	}
	at = skipSpace(data, at+1)
	if at < len(data) && data[at] == '}' {
		return nil
	}
	for {
		if at >= len(data) || data[at] != '"' {
			return errScan
		}
		end, err := skipString(data, at)
		if err != nil {
			return err
		}
		key := textOf(data[at:end])
		at = skipSpace(data, end)
		if at >= len(data) || data[at] != ':' {
			return errScan
		}
		at = skipSpace(data, at+1)
		if end, err = skipValue(data, at); err != nil {
			return err
		}
		if err := take(key, data[at:end]); err != nil {
			return err
		}
		at = skipSpace(data, end)
		if at >= len(data) {
			return errScan
		}
		if data[at] == '}' {
			if skipSpace(data, at+1) != len(data) {
				return errScan
			}
			return nil
		}
		if data[at] != ',' {
			return errScan
		}
		at = skipSpace(data, at+1)
	}
}

// scanArray calls take with each element of the array that data is.
func scanArray(data []byte, take func(value []byte) error) error {
	at := skipSpace(data, 0)
	if at >= len(data) || data[at] != '[' {
		return errScan
	}
	at = skipSpace(data, at+1)
	if at < len(data) && data[at] == ']' {
		return nil
	}
	for {
		end, err := skipValue(data, at)
		if err != nil {
			return err
		}
		if err := take(data[at:end]); err != nil {
			return err
		}
		at = skipSpace(data, end)
		if at >= len(data) {
			return errScan
		}
		if data[at] == ']' {
			return nil
		}
		if data[at] != ',' {
			return errScan
		}
		at = skipSpace(data, at+1)
	}
}

func isNull(value []byte) bool { return string(value) == "null" }

// textOf is the text of a JSON string; empty for any other value.
func textOf(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// intOf is a whole number; false for any other value.
func intOf(value []byte) (int64, bool) {
	number, err := strconv.ParseInt(string(value), 10, 64)
	return number, err == nil
}

func floatOf(value []byte) (float64, bool) {
	number, err := strconv.ParseFloat(string(value), 64)
	return number, err == nil
}

// appendQuoted appends text as a JSON string.
func appendQuoted(to []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(to, `""`...)
	}
	return append(to, quoted...)
}
