package vault

import (
	"strconv"

	"github.com/muster-cip/muster"
)

// Place is where a sealed value belongs. It is associated data: a value opens in
// its own place only.
type Place struct {
	Subject  string `json:"subject,omitempty"` // subject id
	Record   string `json:"record"`            // id of the row: application, evidence, decision, ...
	Field    string `json:"field"`             // name of the column, or of what is sealed
	Revision int    `json:"revision"`
}

const (
	sealFormat = 1
	sealBlock  = 64 // plaintexts are padded to a multiple: the length of a name is not seen
	sealLimit  = 4 << 20
)

// placeAD is the associated data of a sealed value: purpose and format first.
func (v *Vault) placeAD(dst []byte, use string, p Place) []byte {
	return fields(dst, use, strconv.Itoa(sealFormat), v.deployment, p.Subject, p.Record, p.Field, strconv.Itoa(p.Revision))
}

// Seal encrypts plain under a subject's key for its place (AES-256-GCM). The blob is
// format (1 byte), nonce (12), padded plaintext, tag (16): 30 to 93 bytes longer than
// plain. The caller stores the key's id once, in the subject's row. At most 4 MiB.
func (v *Vault) Seal(key Key, place Place, plain []byte) ([]byte, error) {
	if key.o == nil || place.Field == "" {
		return nil, muster.Errorf(muster.CodeInternal, "sealing needs a key and a place")
	}
	if len(plain) > sealLimit {
		return nil, muster.Errorf(muster.CodeTooLarge, "a value is too large to be sealed")
	}
	return v.sealWith(key.o, place, plain), nil
}

func (v *Vault) sealWith(o *openKey, place Place, plain []byte) []byte {
	var ad [192]byte
	padded := pad(plain)
	out := make([]byte, 1, 1+len(padded)+28)
	out[0] = sealFormat
	out = o.seal.Seal(out, nil, padded, v.placeAD(ad[:0], "muster seal", place))
	clear(padded)
	return out
}

// open is the other half; only the two doors call it.
func (v *Vault) open(o *openKey, place Place, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+28+sealBlock || sealed[0] != sealFormat {
		return nil, muster.Errorf(muster.CodeMalformed, "a sealed value has an unknown form")
	}
	var ad [192]byte
	padded, err := o.seal.Open(nil, nil, sealed[1:], v.placeAD(ad[:0], "muster seal", place))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a sealed value does not open in this place (%s, field %s, revision %d)", place.Record, place.Field, place.Revision)
	}
	return unpad(padded)
}

// pad appends 0x80 and zeros (ISO/IEC 7816-4) up to a multiple of sealBlock.
func pad(plain []byte) []byte {
	n := (len(plain)/sealBlock + 1) * sealBlock
	out := make([]byte, n)
	copy(out, plain)
	out[len(plain)] = 0x80
	return out
}

func unpad(b []byte) ([]byte, error) {
	for i := len(b) - 1; i >= 0 && len(b)-i <= sealBlock; i-- {
		switch b[i] {
		case 0:
		case 0x80:
			return b[:i:i], nil
		default:
			i = -1
		}
	}
	return nil, muster.Errorf(muster.CodeMalformed, "a sealed value is padded wrongly")
}

// SealCompliance seals under the compliance key, which outlives subjects: the salts
// of C2, and nothing that tells of a person. 30 bytes longer than plain, not padded.
func (v *Vault) SealCompliance(place Place, plain []byte) []byte {
	return v.keys().boxes[nameCompliance].seal(plain, v.placeAD(nil, "muster "+nameCompliance, place))
}

// OpenCompliance opens what SealCompliance made. It is no door: no personal value
// may be sealed there.
func (v *Vault) OpenCompliance(place Place, sealed []byte) ([]byte, error) {
	return v.keys().boxes[nameCompliance].unseal(sealed, v.placeAD(nil, "muster "+nameCompliance, place))
}

// SealWebhookSecret seals the signing secret of the webhook id.
func (v *Vault) SealWebhookSecret(id string, secret []byte) []byte {
	return v.keys().boxes[nameWebhook].seal(secret, fields(nil, "muster "+nameWebhook, v.deployment, id))
}

// OpenWebhookSecret opens what SealWebhookSecret made.
func (v *Vault) OpenWebhookSecret(id string, sealed []byte) ([]byte, error) {
	return v.keys().boxes[nameWebhook].unseal(sealed, fields(nil, "muster "+nameWebhook, v.deployment, id))
}

// SealConfig seals a secret of the configuration that the store keeps, by name.
func (v *Vault) SealConfig(name string, secret []byte) []byte {
	return v.keys().boxes[nameConfig].seal(secret, fields(nil, "muster "+nameConfig, v.deployment, name))
}

// OpenConfig opens what SealConfig made.
func (v *Vault) OpenConfig(name string, sealed []byte) ([]byte, error) {
	return v.keys().boxes[nameConfig].unseal(sealed, fields(nil, "muster "+nameConfig, v.deployment, name))
}

// Renew is a sealed secret under the key version in use; as it is where it is
// under that already. It is for the keys compliance, webhook and config, whose secrets
// have an id of a row, or a name, as their place.
func (v *Vault) Renew(name, place string, sealed []byte) (fresh []byte, err error) {
	b := v.keys().boxes[name]
	if b == nil {
		return nil, muster.Errorf(muster.CodeInternal, "nothing is sealed under the key %q", name)
	}
	if len(sealed) > 1 && sealed[1] == b.current {
		return sealed, nil
	}
	ad := fields(nil, "muster "+name, v.deployment, place)
	if name == nameCompliance {
		ad = v.placeAD(nil, "muster "+name, saltPlace(place))
	}
	plain, err := b.unseal(sealed, ad)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return b.seal(plain, ad), nil
}

// saltPlace is where the salt of a record's commitment is sealed.
func saltPlace(id string) Place { return Place{Record: id, Field: "salt"} }

// SealSalt seals the salt of a record's commitment under the compliance key.
func (v *Vault) SealSalt(id string, salt []byte) []byte { return v.SealCompliance(saltPlace(id), salt) }

// OpenSalt opens what SealSalt made.
func (v *Vault) OpenSalt(id string, sealed []byte) ([]byte, error) {
	return v.OpenCompliance(saltPlace(id), sealed)
}

// seal is format, key version, nonce, ciphertext, tag.
func (b *box) seal(plain, ad []byte) []byte {
	return b.open[b.current].Seal([]byte{sealFormat, b.current}, nil, plain, ad)
}

func (b *box) unseal(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 2+28 || sealed[0] != sealFormat {
		return nil, muster.Errorf(muster.CodeMalformed, "a sealed secret has an unknown form")
	}
	aead := b.open[sealed[1]]
	if aead == nil {
		return nil, muster.Errorf(muster.CodeGone, "a secret is sealed under a key version that is retired")
	}
	plain, err := aead.Open(nil, nil, sealed[2:], ad)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a sealed secret does not open in this place")
	}
	return plain, nil
}
