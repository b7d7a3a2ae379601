package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/backup"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/store"
)

// What backups and restores do about volumes of the ledger, which lie in the storage and
// not in a copy: a copy says which it needs, and what nothing names any more stays in
// the storage for storage.keep.

// named is a volume as a copy names it.
type named struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// addVolumes adds the list of the volumes that the ledger names, after looking whether
// they are there. It returns how many there are.
func addVolumes(ctx context.Context, w *backup.Writer, c Config) (int, error) {
	at := store.Config{Path: filepath.Join(c.Data, fileLedger)}
	if c.Database != "" {
		dsn, err := secretFile(c.Database)
		if err != nil {
			return 0, err
		}
		at = store.Config{DSN: dsn, Schema: "ledger"}
	} else if !exists(at.Path) {
		return 0, nil
	}
	all, err := store.LedgerVolumes(ctx, at)
	if err != nil {
		return 0, err
	}
	var list []named
	for _, v := range all {
		if v.Gone.IsZero() {
			list = append(list, named{v.Name, v.Size})
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	if err := c.lookFor(ctx, list); err != nil {
		return 0, err
	}
	return len(list), w.Add(ctx, fileVolumes, func(w io.Writer) error { return json.NewEncoder(w).Encode(list) })
}

// lookFor says which volumes are not in the storage.
func (c *Config) lookFor(ctx context.Context, list []named) error {
	s, err := c.openStorage(muster.SystemClock, nil)
	if err != nil {
		return err
	}
	if s == nil {
		return muster.Errorf(muster.CodeInvalid, "the ledger has %d volumes and the configuration names no storage", len(list))
	}
	there := map[string]int64{}
	listed := map[string]bool{}
	missing := ""
	lost := 0
	for _, v := range list {
		space, _, _ := strings.Cut(v.Name, "/")
		if !listed[space] {
			if err := s.List(ctx, prefixLedger+space+"/", func(i objects.Info) error {
				there[strings.TrimPrefix(i.Name, prefixLedger)] = i.Size
				return nil
			}); err != nil {
				return err
			}
			listed[space] = true
		}
		if size, ok := there[v.Name]; !ok || size != v.Size {
			missing = v.Name
			lost++
		}
	}
	if lost > 0 {
		return &muster.Error{
			Code: muster.CodeConflict, Message: fmt.Sprintf("%d of %d volumes are not in the storage as they should be, among them %s", lost, len(list), missing),
			Hint: "muster storage check says more; a copy is no use without them",
		}
	}
	return nil
}

// checkVolumes looks for the volumes that a copy names.
func checkVolumes(ctx context.Context, t terminal, s *backup.Store, c *backup.Copy, ids []age.Identity, config string) error {
	i := slices.IndexFunc(c.Files, func(f backup.File) bool { return f.Name == fileVolumes })
	if i < 0 {
		return nil
	}
	var text bytes.Buffer
	if err := s.Read(ctx, &c.Files[i], ids, &text); err != nil {
		return err
	}
	var list []named
	if err := json.Unmarshal(text.Bytes(), &list); err != nil {
		return muster.Errorf(muster.CodeInvalid, "the list of volumes of copy %s is not what this program writes", c.Name)
	}
	if config == "" {
		fmt.Fprintf(t.out, "it names %d volumes of the ledger, which were not looked for: --storage-of names the configuration of their storage\n", len(list))
		return nil
	}
	conf, err := readConfig(config)
	if err != nil {
		return err
	}
	if err := conf.lookFor(ctx, list); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "the %d volumes of the ledger that it names are in the storage\n", len(list))
	return nil
}

// apart keeps a restored deployment out of the way of the one that it was restored from,
// which may be alive: volumes get a place of their own, and nobody else's are deleted. It
// returns what is to be said.
func (h *house) apart(ctx context.Context) (say []string, err error) {
	room := store.LedgerAs[ledger.Tx](h.ledger)
	if err := ledger.Divide(ctx, room); err != nil {
		return nil, err
	}
	if h.conf.Storage.Tiles {
		say = append(say, "storage.tiles is false from now on: set it to true where this deployment takes the place of the one before, and only there")
	}
	if h.shelf == nil {
		return say, nil
	}
	v, err := h.shelf.Verify(ctx, room, false)
	switch {
	case err != nil:
		say = append(say, "whether the ledger's volumes are in the storage is not known: "+err.Error())
	case len(v.Missing) > 0:
		say = append(say, fmt.Sprintf("MISSING: %d of %d volumes of the ledger are not in the storage; questions about their time fail (muster storage check)", len(v.Missing), v.Volumes))
	case v.Volumes > 0:
		say = append(say, fmt.Sprintf("the %d volumes of the ledger are in the storage; where the deployment before is no more, say so: muster storage claim", v.Volumes))
	}
	return say, nil
}
