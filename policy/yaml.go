package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/muster-cip/muster"
)

// Bounds of the text, beside MaxPackBytes.
const (
	maxLine   = 2 << 10 // bytes
	maxLines  = 4_000   // the lexer is not linear in them
	maxIndent = 40      // columns
	maxFlow   = 16      // open brackets
	maxDashes = 8       // sequences begun on one line
	maxTokens = 20_000
)

// decode turns text into v, strictly: unknown and double keys, anchors, aliases,
// merges and tags are errors, and so is whatever passes the bounds. Bounds are
// checked on the bytes first, since the parser recurses.
func decode(src string, v any) error {
	if at, why := bounds(src); why != "" {
		return yamlFault(at, 1, "bounds", why)
	}
	tokens := lexer.Tokenize(src)
	if len(tokens) > maxTokens {
		return yamlFault(1, 1, "bounds", "too many tokens")
	}
	docs := 0
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType:
			return yamlFault(t.Position.Line, t.Position.Column, "alias", "anchors, aliases, merges, tags and directives are refused")
		case token.DocumentHeaderType:
			if docs++; docs > 1 {
				return yamlFault(t.Position.Line, t.Position.Column, "documents", "a pack is one document")
			}
		}
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return located(err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return yamlFault(1, 1, "documents", "a pack is one document")
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, v, yaml.Strict()); err != nil {
		return located(err)
	}
	return nil
}

// bounds looks at the bytes only. Brackets in text count too: no text needs many open ones.
func bounds(src string) (line int, why string) {
	flow := 0
	for s := range strings.SplitSeq(src, "\n") {
		if line++; line > maxLines {
			return line, fmt.Sprintf("a pack is at most %d lines", maxLines)
		}
		if len(s) > maxLine {
			return line, fmt.Sprintf("a line is at most %d bytes", maxLine)
		}
		indent, dashes, body := 0, 0, false
		for i := 0; i < len(s); i++ {
			switch ch := s[i]; {
			case ch == '[' || ch == '{':
				if flow++; flow > maxFlow {
					return line, "nested too deeply"
				}
				body = true
			case ch == ']' || ch == '}':
				flow = max(0, flow-1)
				body = true
			case ch == '\t' && !body:
				return line, "a tab in the indentation"
			case !body && ch == ' ':
				indent++
			case !body && (ch == '-' || ch == '?') && (i+1 == len(s) || s[i+1] == ' '):
				if dashes++; dashes > maxDashes || ch == '?' {
					return line, "nested too deeply"
				}
			default:
				body = true
			}
		}
		if body && indent > maxIndent {
			return line, "indented too deeply"
		}
	}
	return 0, ""
}

func yamlFault(line, column int, code, detail string) error {
	return &muster.Error{
		Code: muster.CodeMalformed, Message: "the pack cannot be read",
		Faults: []muster.Fault{{Code: code, Detail: fmt.Sprintf("%d:%d: %s", line, column, detail)}},
	}
}

func located(err error) error {
	line, column, detail := 1, 1, "not YAML of this shape"
	var e yaml.Error
	if errors.As(err, &e) {
		detail = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			line, column = t.Position.Line, t.Position.Column
		}
	}
	return yamlFault(line, column, "yaml", detail)
}
