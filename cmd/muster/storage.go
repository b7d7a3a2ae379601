package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
)

// StorageConfig is where tiles of the log and chunks of the ledger lie outside the
// databases: in a directory that processes share, or in S3-compatible storage.
type StorageConfig struct {
	Directory string   `yaml:"directory,omitempty"`
	S3        S3Config `yaml:"s3,omitempty"`
	Tiles     bool     `yaml:"tiles,omitempty"`     // the log's tiles and checkpoint
	Chunks    bool     `yaml:"chunks,omitempty"`    // the ledger's chunks of quarters that are over; false brings them back
	Keep      string   `yaml:"keep,omitempty"`      // how long an object is kept that nothing names any more; "" is 720h
	Cache     int      `yaml:"cache_mib,omitempty"` // of chunks; 0: 64
}

// S3Config names a bucket. The keys are in a file of two or three lines, name = value, as
// in AWS's own: aws_access_key_id, aws_secret_access_key, aws_session_token; without one
// they are in the environment, under the same names in capitals.
type S3Config struct {
	Endpoint    string `yaml:"endpoint,omitempty"` // https://host[:port]; a private one has to be in out.allow
	Region      string `yaml:"region,omitempty"`
	Bucket      string `yaml:"bucket,omitempty"`
	Prefix      string `yaml:"prefix,omitempty"`
	PathStyle   bool   `yaml:"path_style,omitempty"`
	Credentials string `yaml:"credentials_file,omitempty"`
	Encryption  string `yaml:"encryption,omitempty"` // AES256 | aws:kms, beside our own
	KMSKey      string `yaml:"kms_key,omitempty"`
}

func (c *StorageConfig) used() bool { return c.Directory != "" || c.S3.Endpoint != "" }

func (c *StorageConfig) keep() (time.Duration, error) {
	if c.Keep == "" {
		return 720 * time.Hour, nil
	}
	d, err := time.ParseDuration(c.Keep)
	if err == nil && d < time.Hour {
		err = errors.New("too short")
	}
	return d, err
}

func (c *StorageConfig) check() (wrong []string) {
	switch {
	case c.Directory != "" && c.S3 != (S3Config{}):
		wrong = append(wrong, "storage is a directory or s3, not both")
	case !c.used() && (c.Tiles || c.Chunks || c.S3 != (S3Config{})):
		wrong = append(wrong, "storage names a directory, or s3.endpoint and s3.bucket")
	case c.S3.Endpoint != "":
		// Built as it will be, so that what is wrong is said here; nobody is called.
		if _, err := objects.NewS3(c.S3.objects(&outbound.Client{}, muster.SystemClock)); err != nil {
			wrong = append(wrong, "storage.s3: "+message(err))
		}
	}
	if _, err := c.keep(); err != nil {
		wrong = append(wrong, "storage.keep is a duration of at least an hour, such as 720h")
	}
	if c.Cache < 0 {
		wrong = append(wrong, "storage.cache_mib is a number of MiB")
	}
	return wrong
}

// storage is an objects.S3 or objects.Dir, as all who need one see it.
type storage interface {
	tlog.Objects
	ledger.Objects
	List(ctx context.Context, prefix string, each func(objects.Info) error) error
	Check(ctx context.Context, name string, data []byte) error
}

func (c *S3Config) objects(transport http.RoundTripper, clock muster.Clock) objects.S3Config {
	return objects.S3Config{
		Endpoint: c.Endpoint, Region: c.Region, Bucket: c.Bucket, Prefix: c.Prefix, PathStyle: c.PathStyle, Encryption: c.Encryption, KMSKey: c.KMSKey,
		Keys: c.keys, Transport: transport, Clock: clock,
	}
}

// keys reads the keys, from the file or the environment.
func (c *S3Config) keys() (objects.Keys, error) {
	value := os.Getenv
	if c.Credentials != "" {
		text, err := readFile(c.Credentials, 64<<10)
		if err != nil {
			return objects.Keys{}, muster.Errorf(muster.CodeUnavailable, "the keys of the storage cannot be read: %w", err)
		}
		lines := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if name, v, ok := strings.Cut(line, "="); ok {
				lines[strings.ToUpper(strings.TrimSpace(name))] = strings.TrimSpace(v)
			}
		}
		value = func(name string) string { return lines[name] }
	}
	k := objects.Keys{ID: value("AWS_ACCESS_KEY_ID"), Secret: value("AWS_SECRET_ACCESS_KEY"), Session: value("AWS_SESSION_TOKEN")}
	if k.ID == "" || k.Secret == "" {
		return k, &muster.Error{
			Code: muster.CodeUnavailable, Message: "there are no keys for the storage",
			Hint: "storage.s3.credentials_file names a file with aws_access_key_id and aws_secret_access_key, a line each",
		}
	}
	return k, nil
}

// openStorage makes the storage that the configuration names; nil where it names none.
func (c *Config) openStorage(clock muster.Clock, observe func(what, outcome string, took time.Duration)) (storage, error) {
	if c.Storage.Directory != "" {
		return objects.NewDir(c.Storage.Directory), nil
	}
	if c.Storage.S3.Endpoint == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	client, err := outbound.New(outbound.Config{Allow: c.Out.Allow, Timeout: 30 * time.Second, MaxBytes: objects.MaxBytes + 1})
	if err != nil {
		return nil, err
	}
	s3 := c.Storage.S3.objects(client, clock)
	s3.Observe = observe
	return objects.NewS3(s3)
}

// Where things lie in the storage.
const (
	prefixLog    = "log/"
	prefixLedger = "ledger/"
	prefixCanary = "canary/"
)

// openShelf gives the ledger its part of the storage.
func (h *house) openShelf() (err error) {
	if h.storage == nil {
		return nil
	}
	keep, err := h.conf.Storage.keep()
	if err != nil {
		return err
	}
	h.shelf, err = ledger.NewShelf(ledger.ShelfConfig{
		Objects: h.storage, Clock: h.clock, Prefix: prefixLedger, Fill: h.conf.Storage.Chunks, Keep: keep, Cache: int64(h.conf.Storage.Cache) << 20,
		List: func(ctx context.Context, prefix string, each func(string, int64, time.Time) error) error {
			return h.storage.List(ctx, prefix, func(i objects.Info) error { return each(i.Name, i.Size, i.Made) })
		},
	})
	return err
}

// canary puts something, reads it back and takes it away again.
func canary(ctx context.Context, s storage) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return s.Check(ctx, prefixCanary+strings.ToLower(rand.Text()), []byte("muster was here\n"))
}

// storageState is what the last canary said.
type storageState struct{ last atomic.Pointer[string] }

func (s *storageState) err() error {
	if why := s.last.Load(); why != nil && *why != "" {
		return errors.New(*why)
	}
	return nil
}

// watchStorage tries the storage. A standing duty.
func (h *house) watchStorage(ctx context.Context) error {
	if h.storage == nil {
		return nil
	}
	err := canary(ctx, h.storage)
	why := ""
	if err != nil {
		why = err.Error()
	}
	h.stored.last.Store(&why)
	return err
}

func storageMeters() (*prometheus.CounterVec, *prometheus.HistogramVec) {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "muster_storage_requests_total", Help: "Requests to the storage of tiles and chunks, by what was asked and what became of it."}, []string{"what", "outcome"}),
		prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "muster_storage_seconds", Help: "How long the storage took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}, []string{"what"})
}

func newStorage(t terminal) *cobra.Command {
	return group("storage", "Tiles and chunks in a bucket or a shared directory", newStorageCheck(t), newStorageMove(t), newStorageClaim(t))
}

const opensStores = "Opens the stores under the process lock: on SQLite, stop the server first."

func newStorageCheck(t terminal) *cobra.Command {
	var path string
	var read bool
	cmd := &cobra.Command{
		Use: "check", Short: "Look whether everything that rows name is in the storage", Args: cobra.NoArgs,
		Long: "Look whether the storage can be written and read, and whether every volume of the ledger that rows name is\n" +
			"there. " + opensStores,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStorage(cmd.Context(), t, path, func(ctx context.Context, h *house) error {
				if err := canary(ctx, h.storage); err != nil {
					return err
				}
				v, err := h.shelf.Verify(ctx, store.LedgerAs[ledger.Tx](h.ledger), read)
				if err != nil {
					return err
				}
				return printVerified(t, v, read)
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&read, "read", false, "read every volume, and compare it with its digest")
	return cmd
}

func printVerified(t terminal, v ledger.Verified, read bool) error {
	for _, m := range v.Missing {
		fmt.Fprintf(t.out, "  volume %s, %d chunks: %s\n", m.Volume, m.Chunks, m.Why)
	}
	if len(v.Missing) > 0 {
		return &muster.Error{
			Code: muster.CodeConflict, Message: fmt.Sprintf("%d of %d volumes are not as they should be", len(v.Missing), v.Volumes),
			Hint: "bring them back from a copy of the bucket; until then questions about their time fail",
		}
	}
	how := "there, each of its size"
	if read {
		how = "what was written, byte for byte"
	}
	_, err := fmt.Fprintf(t.out, "the storage answers; %d volumes with %d chunks (%.1f MiB) are %s\n", v.Volumes, v.Chunks, float64(v.Bytes)/(1<<20), how)
	return err
}

func newStorageMove(t terminal) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "move", Short: "Bring tiles and chunks now to where the configuration says", Args: cobra.NoArgs,
		Long: "Bring tiles and chunks to where the configuration says: to the storage, or back from it where storage.chunks\n" +
			"is false. A server does the same at its start and once a day; either goes on where it was. " + opensStores,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStorage(cmd.Context(), t, path, func(ctx context.Context, h *house) error {
				if _, err := h.book.Publish(ctx); err != nil {
					return err
				}
				if err := h.book.Announce(ctx); err != nil {
					return err
				}
				s, err := h.sealer(false)
				if err != nil {
					return err
				}
				written, err := s.Tend(ctx)
				if err != nil {
					return errors.Join(err, s.Close(ctx))
				}
				v, err := h.shelf.Verify(ctx, store.LedgerAs[ledger.Tx](h.ledger), false)
				if err != nil {
					return errors.Join(err, s.Close(ctx))
				}
				fmt.Fprintf(t.out, "%d volumes written; %d chunks lie in %d volumes (%.1f MiB)\n", written, v.Chunks, v.Volumes, float64(v.Bytes)/(1<<20))
				return s.Close(ctx)
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func newStorageClaim(t terminal) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "claim", Short: "After a restore: say that the deployment it was made from is no more", Args: cobra.NoArgs,
		Long: "A restored deployment reads the volumes of the one that its backup was made of, and deletes none of them:\n" +
			"the other may be alive, and this one a drill. Where it is not, say so: from then on what is not used any\n" +
			"more is deleted, which erasure needs. " + opensStores,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStorage(cmd.Context(), t, path, func(ctx context.Context, h *house) error {
				if err := ledger.Claim(ctx, store.LedgerAs[ledger.Tx](h.ledger)); err != nil {
					return err
				}
				_, err := fmt.Fprintln(t.out, "the volumes of this deployment and of the one before it are this one's")
				return err
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// withStorage opens a deployment that has a storage.
func withStorage(ctx context.Context, t terminal, path string, fn func(context.Context, *house) error) error {
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	if !c.Storage.used() {
		return muster.Errorf(muster.CodeInvalid, "%s names no storage", path)
	}
	h, err := openHouse(ctx, c, options{log: slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer h.close(context.WithoutCancel(ctx))
	return fn(ctx, h)
}

// storage says whether the storage can be used, and what its clock says.
func (d *doctor) storage(ctx context.Context, c Config) {
	if !c.Storage.used() {
		return
	}
	s, err := c.openStorage(muster.SystemClock, nil)
	if err == nil {
		err = canary(ctx, s)
	}
	if err != nil {
		next := "is it up, and is it in out.allow where its address is private?"
		var e *muster.Error
		if errors.As(err, &e) && e.Hint != "" {
			next = e.Hint
		}
		d.note("storage", fail, err.Error(), next)
		return
	}
	d.note("storage", fine, "an object was put, read back and deleted", "")
	bucket, ok := s.(*objects.S3)
	if !ok {
		return
	}
	switch skew := bucket.Skew(); {
	case skew.Abs() > 10*time.Minute:
		d.note("storage: clock", fail, fmt.Sprintf("its clock and this machine's are %s apart, and past 15 minutes it refuses requests", skew.Abs()), "have this machine keep time by NTP")
	case skew.Abs() > time.Minute:
		d.note("storage: clock", warn, fmt.Sprintf("its clock and this machine's are %s apart", skew.Abs()), "have this machine keep time by NTP")
	default:
		d.note("storage: clock", fine, "as this machine's", "")
	}
}

// volumes says whether what the ledger's rows name is in the storage.
func (d *doctor) volumes(ctx context.Context, h *house) {
	room := store.LedgerAs[ledger.Tx](h.ledger)
	var spaces []ledger.Space
	var all []ledger.Volume
	if err := room.View(ctx, func(tx ledger.Tx) (err error) {
		if spaces, err = tx.Spaces(ctx); err == nil && len(spaces) > 0 {
			all, err = tx.Volumes(ctx)
		}
		return err
	}); err != nil {
		d.note("volumes", fail, message(err), "")
		return
	}
	if len(all) == 0 {
		return
	}
	if h.shelf == nil {
		d.note("volumes", fail, fmt.Sprintf("the ledger has %d volumes and the configuration names no storage", len(all)), "name it in storage; with storage.chunks false what is there is brought back")
		return
	}
	v, err := h.shelf.Verify(ctx, room, false)
	switch {
	case err != nil:
		d.note("volumes", fail, message(err), "")
		return
	case len(v.Missing) > 0:
		d.note("volumes", fail, fmt.Sprintf("%d of %d volumes are not in the storage as they should be", len(v.Missing), v.Volumes), "muster storage check lists them; bring them back from a copy of the bucket")
	default:
		d.note("volumes", fine, fmt.Sprintf("all %d that rows name are in the storage (%.1f MiB)", v.Volumes, float64(v.Bytes)/(1<<20)), "muster storage check --read compares their bytes")
	}
	for _, s := range spaces {
		if !s.Ours {
			d.note("volumes", warn, "some are of the deployment that this one was restored from: none of them is deleted", "where that one is no more: muster storage claim")
			return
		}
	}
}
