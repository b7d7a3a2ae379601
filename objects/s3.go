package objects

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/muster-cip/muster"
)

// Keys are what requests are signed with.
type Keys struct{ ID, Secret, Session string }

// S3Config of an S3. Endpoint, Bucket, Keys and Transport are required.
type S3Config struct {
	Endpoint   string // https://host[:port]
	Region     string // "": us-east-1, which most servers that are not Amazon's take
	Bucket     string
	Prefix     string // of all names; "" or ending in a slash
	PathStyle  bool   // the bucket in the path, and not in front of the host's name
	Encryption string // "", "AES256" or "aws:kms": asked of the storage, beside our own
	KMSKey     string // of aws:kms; "": the bucket's

	Keys      func() (Keys, error) // asked every minute, so that they can be replaced
	Transport http.RoundTripper    // *outbound.Client
	Clock     muster.Clock

	Tries int           // of one request that fails for a reason that may pass; 0: 4
	Pause time.Duration // before the second try, doubled before each further one; 0: 100 ms

	// Observe hears of each exchange: what was asked, and "ok" or the code of its error.
	Observe func(what, outcome string, took time.Duration)
}

// S3 keeps objects in a bucket.
type S3 struct {
	S3Config
	core *minio.Core
	sse  encrypt.ServerSide

	skew atomic.Int64 // of the storage's clock, nanoseconds
}

// keysFor is how long keys are used before they are asked for again.
const keysFor = time.Minute

// provider gives minio-go the keys of the configuration.
type provider struct {
	c    *S3Config
	read time.Time
}

func (p *provider) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	k, err := p.c.Keys()
	if err != nil {
		return credentials.Value{}, err
	}
	p.read = p.c.Clock()
	return credentials.Value{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Session, SignerType: credentials.SignatureV4}, nil
}

func (p *provider) Retrieve() (credentials.Value, error) { return p.RetrieveWithCredContext(nil) }
func (p *provider) IsExpired() bool                      { return p.c.Clock().Sub(p.read) > keysFor }

// NewS3 checks the configuration. It calls nobody.
func NewS3(c S3Config) (*S3, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case c.Bucket == "" || c.Keys == nil || c.Transport == nil || c.Clock == nil:
		return nil, muster.Errorf(muster.CodeInvalid, "S3 needs Bucket, Keys, Transport and Clock")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "":
		return nil, muster.Errorf(muster.CodeInvalid, "the endpoint of S3 is a URL of scheme and host, such as https://s3.eu-central-1.amazonaws.com")
	case c.Prefix != "" && (!strings.HasSuffix(c.Prefix, "/") || checkName(strings.TrimSuffix(c.Prefix, "/")) != nil):
		return nil, muster.Errorf(muster.CodeInvalid, "the prefix in the bucket is of letters, digits, dots and dashes, and ends in a slash")
	}
	s := &S3{S3Config: c}
	s.Tries, s.Pause = cmp.Or(c.Tries, 4), cmp.Or(c.Pause, 100*time.Millisecond)
	switch c.Encryption {
	case "":
	case "AES256":
		s.sse = encrypt.NewSSE()
	case "aws:kms":
		if s.sse, err = encrypt.NewSSEKMS(c.KMSKey, nil); err != nil {
			return nil, muster.Errorf(muster.CodeInvalid, "encryption by the storage: %w", err)
		}
	default:
		return nil, muster.Errorf(muster.CodeInvalid, "encryption by the storage is AES256 or aws:kms")
	}
	look := minio.BucketLookupDNS
	if c.PathStyle {
		look = minio.BucketLookupPath
	}
	s.core, err = minio.NewCore(u.Host, &minio.Options{
		Creds: credentials.New(&provider{c: &s.S3Config}), Secure: u.Scheme == "https", Transport: clocked{s},
		Region: cmp.Or(c.Region, "us-east-1"), BucketLookup: look, MaxRetries: 1, // we try again: it would not, where a body is cut
	})
	if err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "S3: %w", err)
	}
	return s, nil
}

// clocked is the transport, and an eye on the storage's clock.
type clocked struct{ s *S3 }

func (c clocked) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.s.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		c.s.skew.Store(int64(at.Sub(c.s.Clock())))
	}
	return res, nil
}

// Skew is by how much the storage's clock was ahead of ours in its last answer, to
// the second: signatures are refused past fifteen minutes.
func (s *S3) Skew() time.Duration { return time.Duration(s.skew.Load()) }

// try makes one request, again where its failure may pass.
func (s *S3) try(ctx context.Context, what string, fn func(context.Context) error) (err error) {
	pause := s.Pause
	for n := 1; ; n++ {
		began := time.Now()
		err = s3Error(ctx, fn(ctx))
		if s.Observe != nil {
			outcome := "ok"
			if err != nil {
				outcome = string(muster.ErrorCode(err))
			}
			s.Observe(what, outcome, time.Since(began))
		}
		if n >= s.Tries || !passing(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		pause *= 2
	}
}

// errFirm marks a failure that trying again does not mend; errConditions one of a
// storage that does not know conditions of a put.
var (
	errFirm       = errors.New("trying again does not help")
	errConditions = fmt.Errorf("%w: conditions are not known there", errFirm)
)

func passing(err error) bool {
	return muster.ErrorCode(err) == muster.CodeUnavailable && !errors.Is(err, errFirm)
}

// s3Error says what failed, without URL or key.
func s3Error(ctx context.Context, err error) error {
	var own *muster.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	if ctx.Err() != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: "the storage did not answer in time", Cause: errors.Join(ctx.Err(), errFirm)}
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return muster.Errorf(muster.CodeUnavailable, "the storage cannot be reached, or its answer was cut: %w", err)
	}
	firm := func(message, hint string) error {
		return &muster.Error{Code: muster.CodeUnavailable, Message: message, Hint: hint, Cause: errFirm}
	}
	switch {
	case r.Code == minio.NoSuchBucket:
		return firm("the bucket is not there", "make it, or mend storage.s3.bucket")
	case r.Code == minio.NoSuchKey: // another 404 is of something else: whoever has the keys, a path of a proxy
		return errNotThere()
	case r.Code == "NotImplemented":
		return &muster.Error{Code: muster.CodeUnavailable, Message: "the storage does not know what it is asked", Cause: errConditions}
	case r.StatusCode == http.StatusPreconditionFailed:
		return muster.Errorf(muster.CodeConflict, "the object changed meanwhile")
	case r.Code == "RequestTimeTooSkewed":
		return firm("the storage refuses this machine's time", "have it keep time by NTP")
	case r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusUnauthorized:
		return firm("the storage refuses these keys ("+r.Code+")", "do they belong to the bucket, and may they put, get, list and delete there?")
	case r.StatusCode == http.StatusMovedPermanently || r.StatusCode == http.StatusTemporaryRedirect || r.Code == minio.AuthorizationHeaderMalformed:
		return firm("the bucket is in another region ("+r.Code+")", "mend storage.s3.region and endpoint")
	case r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusRequestTimeout && r.Code != "BadDigest" && r.Code != "RequestTimeout" && r.Code != "IncompleteBody":
		return firm("the storage refuses the request ("+r.Code+")", "")
	}
	return muster.Errorf(muster.CodeUnavailable, "the storage says %d %s", r.StatusCode, r.Code)
}

// Put writes an object, and reads it back: what calls itself S3 is of many makes.
func (s *S3) Put(ctx context.Context, name string, data []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := checkSize(data); err != nil {
		return err
	}
	o := minio.PutObjectOptions{ContentType: "application/octet-stream", CacheControl: "public, max-age=31536000, immutable"}
	o.SetMatchETagExcept("*")
	err := s.put(ctx, name, data, o)
	if errors.Is(err, errConditions) {
		if _, err = s.Get(ctx, name); muster.ErrorCode(err) == muster.CodeNotFound {
			err = s.put(ctx, name, data, minio.PutObjectOptions{ContentType: o.ContentType, CacheControl: o.CacheControl})
		}
	}
	if err != nil && muster.ErrorCode(err) != muster.CodeConflict {
		return err
	}
	back, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return errOther(name)
	}
	return nil
}

func (s *S3) put(ctx context.Context, name string, data []byte, o minio.PutObjectOptions) error {
	o.ServerSideEncryption, o.SendContentMd5, o.DisableMultipart = s.sse, true, true
	return s.try(ctx, "put", func(ctx context.Context) error {
		_, err := s.core.Client.PutObject(ctx, s.Bucket, s.Prefix+name, bytes.NewReader(data), int64(len(data)), o)
		return err
	})
}

// Get reads a whole object; not_found where there is none.
func (s *S3) Get(ctx context.Context, name string) ([]byte, error) {
	return s.read(ctx, name, -1, 0)
}

// Part reads size bytes from an offset on.
func (s *S3) Part(ctx context.Context, name string, from, size int64) ([]byte, error) {
	if from < 0 || size < 0 || size > MaxBytes {
		return nil, errSize()
	}
	if size == 0 {
		return nil, nil
	}
	return s.read(ctx, name, from, size)
}

// read reads a whole object where from is negative.
func (s *S3) read(ctx context.Context, name string, from, size int64) (data []byte, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	var o minio.GetObjectOptions
	if from >= 0 {
		if err := o.SetRange(from, from+size-1); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "a part of an object: %w", err)
		}
	}
	return data, s.try(ctx, "get", func(ctx context.Context) error {
		body, info, _, err := s.core.GetObject(ctx, s.Bucket, s.Prefix+name, o)
		if err != nil {
			var r minio.ErrorResponse
			if errors.As(err, &r) && r.Code == "InvalidRange" {
				return errCut(name)
			}
			return err
		}
		defer body.Close()
		want := info.Size // of this answer
		if from >= 0 {
			want = size
		}
		if want > MaxBytes {
			return errSize()
		}
		if data, err = io.ReadAll(io.LimitReader(body, MaxBytes+1)); err != nil {
			return err
		}
		if int64(len(data)) != want {
			return errCut(name)
		}
		return nil
	})
}

// Delete takes an object away; one that is not there is gone already.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := s.try(ctx, "delete", func(ctx context.Context) error {
		return s.core.RemoveObject(ctx, s.Bucket, s.Prefix+name, minio.RemoveObjectOptions{})
	})
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil
	}
	return err
}

// Clear takes away every object whose name begins with prefix, which ends in a slash.
func (s *S3) Clear(ctx context.Context, prefix string) error {
	if err := checkName(strings.TrimSuffix(prefix, "/")); err != nil {
		return err
	}
	var names []string
	if err := s.List(ctx, prefix, func(i Info) error { names = append(names, i.Name); return nil }); err != nil {
		return err
	}
	for _, name := range names {
		if err := s.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// List calls each for every object whose name begins with prefix, which ends in a
// slash, in the order of names.
func (s *S3) List(ctx context.Context, prefix string, each func(Info) error) error {
	after := ""
	var stop error // of each
	err := s.try(ctx, "list", func(ctx context.Context) error {
		for o := range s.core.ListObjectsIter(ctx, s.Bucket, minio.ListObjectsOptions{Prefix: s.Prefix + prefix, Recursive: true, StartAfter: after}) {
			if o.Err != nil {
				return o.Err
			}
			if stop = each(Info{Name: strings.TrimPrefix(o.Key, s.Prefix), Size: o.Size, Made: o.LastModified}); stop != nil {
				return nil
			}
			after = o.Key // where a try that fails is gone on with
		}
		return ctx.Err()
	})
	return cmp.Or(stop, err)
}

// Swap replaces the object, whose bytes were old, by next; nil: there was none. A
// storage that does not know conditions writes all the same: what follows must bear it.
func (s *S3) Swap(ctx context.Context, name string, old, next []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	o := minio.PutObjectOptions{ContentType: "text/plain; charset=utf-8", CacheControl: "no-cache"}
	var have []byte
	var tag string
	err := s.try(ctx, "get", func(ctx context.Context) error {
		body, info, _, err := s.core.GetObject(ctx, s.Bucket, s.Prefix+name, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		tag = info.ETag
		have, err = io.ReadAll(io.LimitReader(body, MaxBytes))
		return err
	})
	switch {
	case muster.ErrorCode(err) == muster.CodeNotFound:
		o.SetMatchETagExcept("*")
		have = nil
	case err != nil:
		return err
	default:
		o.SetMatchETag(tag)
	}
	if !bytes.Equal(have, old) {
		return errOther(name)
	}
	err = s.put(ctx, name, next, o)
	if errors.Is(err, errConditions) {
		err = s.put(ctx, name, next, minio.PutObjectOptions{ContentType: o.ContentType, CacheControl: o.CacheControl})
	}
	return err
}

// Check says whether the bucket can be written, read and cleared.
func (s *S3) Check(ctx context.Context, name string, data []byte) error {
	return check(ctx, s, name, data)
}
