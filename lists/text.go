package lists

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxFile bounds one file. The largest that is published and read here, OFAC's
// consolidated XML, is a quarter of it.
const MaxFile = 128 << 20

// MaxField bounds one field of a row; no publisher's remark comes near it.
const MaxField = 64 << 10

// Text checks that a file is text that a list could be in, and returns it without a
// byte order mark and without the end mark (0x1A) that some files of OFAC have.
func Text(f File) ([]byte, error) {
	data := f.Data
	if len(data) > MaxFile {
		return nil, Refused(f.Path, "larger than %d MiB", MaxFile>>20)
	}
	for _, m := range []struct{ magic, what string }{
		{"\xff\xfe", "UTF-16: a list is UTF-8"},
		{"\xfe\xff", "UTF-16: a list is UTF-8"},
		{"PK\x03\x04", "a ZIP archive: a list is taken as it is, not packed"},
		{"\x1f\x8b", "gzip: a list is taken as it is, not packed"},
		{"\x28\xb5\x2f\xfd", "zstd: a list is taken as it is, not packed"},
		{"BZh", "bzip2: a list is taken as it is, not packed"},
		{"\xfd7zXZ", "xz: a list is taken as it is, not packed"},
		{"7z\xbc\xaf", "7z: a list is taken as it is, not packed"},
		{"%PDF-", "a PDF, not a list"},
		{"\xd0\xcf\x11\xe0", "an Office file, not a list"},
	} {
		if bytes.HasPrefix(data, []byte(m.magic)) {
			return nil, Refused(f.Path, "%s", m.what)
		}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if i := bytes.IndexByte(data, 0x1a); i >= 0 && len(bytes.TrimLeft(data[i:], "\x1a,\"\r\n\t ")) == 0 {
		data = data[:i] // the mark, and what a spreadsheet put around it
	}
	if !utf8.Valid(data) {
		return nil, Refused(f.Path, "line %d is not UTF-8: wrong encoding", 1+bytes.Count(data[:badUTF8(data)], []byte("\n")))
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return nil, Refused(f.Path, "line %d has a NUL byte: not text", 1+bytes.Count(data[:i], []byte("\n")))
	}
	head := strings.ToLower(string(bytes.TrimSpace(data[:min(len(data), 1024)])))
	for _, page := range []string{"<!doctype html", "<html", "<head", "<body"} {
		if strings.HasPrefix(head, page) || strings.HasPrefix(head, "<?xml") && strings.Contains(head, page) {
			return nil, Refused(f.Path, "an HTML page, not a list: the publisher's site may have answered with an error")
		}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, Refused(f.Path, "empty")
	}
	return data, nil
}

func badUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// Clean makes one line of a value: white space folded, controls and marks of the
// reading direction dropped.
func Clean(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == ' ' && (i+1 == len(s) || s[i+1] == ' ' || i == 0) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control), r == '\ufeff', r == '\u200b':
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}
