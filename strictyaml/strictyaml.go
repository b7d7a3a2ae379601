// Package strictyaml reads the YAML files that a provider writes: the configuration, and
// mappers. It is of rank 0 and pure.
//
// Rules of this room:
//   - A key that the form does not have is an error: a slip of the pen is not a setting left out.
//   - An error names the line, and no text can end the program.
package strictyaml

import (
	"errors"

	"github.com/goccy/go-yaml"

	"github.com/muster-cip/muster"
)

// Decode reads data into form, a pointer; what says what the text is to be ("a mapper").
// Its errors are CodeInvalid.
func Decode(data []byte, form any, what string) (err error) {
	defer func() {
		if recover() != nil { // in the library, of a tag where a list is to come
			err = muster.Errorf(muster.CodeInvalid, "this is not %s: it has a tag", what)
		}
	}()
	if err = yaml.UnmarshalWithOptions(data, form, yaml.Strict()); err == nil {
		return nil
	}
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		return muster.Errorf(muster.CodeInvalid, "line %d: %s", at.GetToken().Position.Line, at.GetMessage())
	}
	return muster.Errorf(muster.CodeInvalid, "this is not %s: %w", what, err)
}
