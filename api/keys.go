package api

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Keys turn while everything goes on (rotate.Service).
type Keys interface {
	Begin(ctx context.Context, by, name string, overlap time.Duration) ([]*muster.Rotation, error)
	Finish(ctx context.Context, by, rotation string) (*muster.Rotation, error)
	Rotations(ctx context.Context, ended bool) ([]*muster.Rotation, error)
	Keys() []vault.Static
}

// Key is one key of the set on the wire: its name and versions, nothing of itself.
type Key struct {
	Key      string `json:"key"`
	Versions []int  `json:"versions" doc:"that open or compare; the last is in use"`
	Next     int    `json:"next,omitempty" doc:"the version that every process knows and nobody uses yet"`
}

// Rotation is one turn of a key, or of several that turn together.
type Rotation struct {
	Rotation string         `json:"rotation"`
	Key      string         `json:"key" doc:"what turns"`
	Stage    string         `json:"stage" enum:"asked,known,used,moving,keeping,done"`
	Targets  map[string]int `json:"targets" doc:"versions that it leads to"`
	Asked    time.Time      `json:"asked"`
	By       string         `json:"by,omitempty" doc:"operator; absent: the command line beside the stores"`
	Due      time.Time      `json:"due" doc:"when the next stage may begin"`
	Overlap  string         `json:"overlap,omitempty" doc:"for how long both versions are good, of a key that others hold too"`
	Rows     int64          `json:"rows" doc:"brought up to the new version so far"`
	Went     int64          `json:"went,omitempty" doc:"rows that nothing could bring up to it, and that went"`
	Ended    time.Time      `json:"ended,omitzero"`
}

func rotationOf(r *muster.Rotation) Rotation {
	out := Rotation{
		Rotation: r.ID, Key: r.Name, Stage: string(r.Stage), Targets: r.Targets, Asked: r.Asked, By: r.Operator, Due: r.Due,
		Rows: r.Done, Went: r.Left, Ended: r.Ended,
	}
	if r.Overlap > 0 {
		out.Overlap = r.Overlap.String()
	}
	if out.Targets == nil {
		out.Targets = map[string]int{}
	}
	return out
}

// RotationsOf are turns on the wire.
func RotationsOf(rows []*muster.Rotation) []Rotation {
	out := make([]Rotation, 0, len(rows))
	for _, r := range rows {
		out = append(out, rotationOf(r))
	}
	return out
}

type listKeysInput struct {
	All bool `query:"all" doc:"turns that ended, too: the last hundred of all"`
}

// KeysAnswer is how the keys stand.
type KeysAnswer struct {
	Keys      []Key      `json:"keys"`
	Rotations []Rotation `json:"rotations" doc:"newest first"`
}

type listKeysOutput struct{ Body KeysAnswer }

func (a *API) listKeys(ctx context.Context, in *listKeysInput) (*listKeysOutput, error) {
	turns, err := a.Keys.Rotations(ctx, in.All)
	if err != nil {
		return nil, err
	}
	out := &listKeysOutput{KeysAnswer{Keys: []Key{}, Rotations: RotationsOf(turns)}}
	for _, k := range a.Keys.Keys() {
		out.Body.Keys = append(out.Body.Keys, Key{k.Name, k.Versions, k.Next})
	}
	return out, nil
}

// RotateOrder says what is to turn.
type RotateOrder struct {
	Key     string `json:"key" doc:"epoch, prf, prf/KIND, handle, gate, request, compliance, webhook, config, code, token, record, log, snapshot, or all" maxLength:"40"`
	Overlap string `json:"overlap,omitempty" doc:"for how long both versions are good of log and snapshot, which others hold too, such as 168h; absent: seven days; 0s: at once, after a theft" maxLength:"20"`
}

type rotateKeyInput struct{ Body RotateOrder }

type rotateKeyOutput struct {
	Body struct {
		Rotations []Rotation `json:"rotations"`
	}
}

// weekOfBoth is how long both versions of a key that others hold are good, unless
// somebody says otherwise.
const weekOfBoth = 7 * 24 * time.Hour

func (a *API) rotateKey(ctx context.Context, in *rotateKeyInput) (*rotateKeyOutput, error) {
	overlap := weekOfBoth
	if in.Body.Overlap != "" {
		var err error
		if overlap, err = time.ParseDuration(in.Body.Overlap); err != nil {
			return nil, muster.Invalid(muster.Fault{Pointer: "/overlap", Code: "duration", Detail: "is no time such as 168h"})
		}
	}
	begun, err := a.Keys.Begin(ctx, callOf(ctx).by.Operator, in.Body.Key, overlap)
	if err != nil {
		return nil, err
	}
	out := &rotateKeyOutput{}
	out.Body.Rotations = RotationsOf(begun)
	return out, nil
}

type RotationPath struct {
	Rotation string `path:"rotation" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

type rotationOutput struct{ Body Rotation }

func (a *API) finishRotation(ctx context.Context, in *RotationPath) (*rotationOutput, error) {
	r, err := a.Keys.Finish(ctx, callOf(ctx).by.Operator, in.Rotation)
	if err != nil {
		return nil, err
	}
	return &rotationOutput{rotationOf(r)}, nil
}

// Handovers are how the log's key was handed over (store.DB).
type Handovers interface {
	LogHandovers(ctx context.Context) ([]muster.Handover, error)
}

// HandoverOut is one hand-over of the log's key.
type HandoverOut struct {
	KeyVersion int       `json:"key_version" doc:"that was handed over"`
	Public     string    `json:"public" doc:"its public half"`
	Note       string    `json:"note" doc:"a checkpoint that names the next key, signed by both"`
	Made       time.Time `json:"made"`
}

// HandoverList is all of them.
type HandoverList struct {
	Handovers []HandoverOut `json:"handovers" doc:"oldest first"`
}

type handoversOutput struct{ Body HandoverList }

func (a *API) listHandovers(ctx context.Context, _ *struct{}) (*handoversOutput, error) {
	all, err := a.Handovers.LogHandovers(ctx)
	if err != nil {
		return nil, err
	}
	return &handoversOutput{HandoversOf(all)}, nil
}

// HandoversOf shows what is kept of them.
func HandoversOf(all []muster.Handover) HandoverList {
	list := HandoverList{[]HandoverOut{}}
	for _, h := range all {
		list.Handovers = append(list.Handovers, HandoverOut{h.KeyVersion, h.Public, string(h.Note), h.Made})
	}
	return list
}
