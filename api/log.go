package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
)

// Log is the transparency log as it is served: bytes that anybody can check.
type Log interface {
	// Checkpoint is the latest signed head, with its cosignatures.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile is the tile under a C2SP path, "tile/0/000" or "tile/entries/000.p/7".
	Tile(ctx context.Context, path string) ([]byte, error)
}

func (a *API) getCheckpoint(c *call, r *http.Request) error {
	b, err := a.TheLog.Checkpoint(r.Context())
	if err != nil {
		return err
	}
	return c.bytes(http.StatusOK, "text/plain; charset=utf-8", b)
}

func checkpointDoc(_ huma.Registry, o *huma.Operation) {
	gives(o, http.StatusOK, "text/plain", &huma.Schema{Type: huma.TypeString, Description: "A signed note (C2SP tlog-checkpoint)."})
}

// getTile serves a tile. What a path of that name holds never changes.
func (a *API) getTile(c *call, r *http.Request) error {
	path := r.PathValue("path")
	if len(path) > 100 || strings.Trim(path, "0123456789abcdefghijklmnopqrstuvwxyz/.") != "" {
		return muster.Errorf(muster.CodeNotFound, "there is no such tile")
	}
	b, err := a.TheLog.Tile(r.Context(), "tile/"+path)
	switch muster.ErrorCode(err) {
	case "":
	case muster.CodeMalformed, muster.CodeInvalid:
		return muster.Errorf(muster.CodeNotFound, "there is no such tile")
	default:
		return err
	}
	c.Header()["Cache-Control"] = headerForever
	return c.bytes(http.StatusOK, "application/octet-stream", b)
}

var headerForever = []string{"max-age=31536000, immutable"}

func tileDoc(_ huma.Registry, o *huma.Operation) {
	o.Parameters = append(o.Parameters, pathParam("path", "<level>/<index>, or entries/<index>; .p/<width> of a partial one"))
	gives(o, http.StatusOK, "application/octet-stream", &huma.Schema{Type: huma.TypeString, Format: "binary"})
}
