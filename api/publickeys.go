package api

import "context"

// PublicKeys are the halves of this deployment's keys that others hold. The first of each
// signs; a second one signs too, or will soon: the key turns.
type PublicKeys interface {
	LogKeys() ([]string, error) // C2SP signed-note verifier keys
	GateKeys() []string         // as gate.FormatKey writes them
}

// KeyLines are public keys as verifiers and edges take them, one a line of their file.
type KeyLines struct {
	Keys []string `json:"keys" doc:"the first signs; one after it signs too, or will soon"`
}

type keyLinesOutput struct{ Body KeyLines }

func (a *API) logKeys(context.Context, *struct{}) (*keyLinesOutput, error) {
	keys, err := a.PublicKeys.LogKeys()
	if err != nil {
		return nil, err
	}
	return &keyLinesOutput{KeyLines{keys}}, nil
}

func (a *API) gateKeys(context.Context, *struct{}) (*keyLinesOutput, error) {
	return &keyLinesOutput{KeyLines{a.PublicKeys.GateKeys()}}, nil
}
