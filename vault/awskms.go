package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/muster-cip/muster"
)

// AWSConfig of an AWSKMS. Key and Client are required.
type AWSConfig struct {
	Key      string // key id, ARN or alias ARN of a symmetric key
	Region   string // "": as AWS's own tools find it
	Endpoint string // "": AWS's
	Client   Doer
}

// AWSKMS is a root key in AWS Key Management Service. Credentials come from where
// AWS's own tools take them (environment, shared files, the machine's or pod's role).
//
// It does not turn with the epoch: the service keeps all old key material of a
// rotated key. Move to another key to make an ended epoch final in backups.
// Source: AWS KMS API reference, Encrypt and Decrypt.
type AWSKMS struct {
	key    string
	client *kms.Client
}

// NewAWSKMS makes an AWSKMS; it calls nobody yet but for what the credentials need.
func NewAWSKMS(ctx context.Context, c AWSConfig) (*AWSKMS, error) {
	if c.Key == "" || c.Client == nil {
		return nil, muster.Errorf(muster.CodeInvalid, "AWS KMS needs Key and Client")
	}
	var options []func(*config.LoadOptions) error
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	conf, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("AWS: %w", err)
	}
	if conf.Region == "" {
		return nil, muster.Errorf(muster.CodeInvalid, "AWS KMS needs a region")
	}
	return &AWSKMS{c.Key, kms.NewFromConfig(conf, func(o *kms.Options) {
		o.HTTPClient = c.Client
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
	})}, nil
}

// ID names the key.
func (k *AWSKMS) ID() string { return "aws-kms/" + k.key }

// contextOf carries ad as the encryption context, which the service authenticates.
// It is no secret; the service writes it to its audit trail.
func contextOf(ad []byte) map[string]string {
	return map[string]string{"muster": base64.StdEncoding.EncodeToString(ad)}
}

// Wrap encrypts under the key.
func (k *AWSKMS) Wrap(ctx context.Context, plain, ad []byte) ([]byte, error) {
	out, err := k.client.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String(k.key), Plaintext: plain, EncryptionContext: contextOf(ad)})
	if err != nil {
		return nil, awsError(err)
	}
	return out.CiphertextBlob, nil
}

// Unwrap opens what Wrap made, and nothing that another key wrapped.
func (k *AWSKMS) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{KeyId: aws.String(k.key), CiphertextBlob: wrapped, EncryptionContext: contextOf(ad)})
	if err != nil {
		return nil, awsError(err)
	}
	return out.Plaintext, nil
}

// awsError keeps the service's code and leaves its words, which name keys and roles.
func awsError(err error) error {
	var a smithy.APIError
	if errors.As(err, &a) {
		return fmt.Errorf("AWS KMS answered %s", a.ErrorCode())
	}
	return fmt.Errorf("AWS KMS: %w", err)
}
