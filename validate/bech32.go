package validate

import "strings"

const (
	bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Const  = 1          // BIP 173
	bech32mConst = 0x2bc830a3 // BIP 350
)

// segwit reports whether s is a segregated witness address under hrp (BIP 173,
// BIP 350): version 0 with bech32 and 20 or 32 bytes, versions 1 to 16 with
// bech32m and 2 to 40 bytes.
func segwit(hrp, s string) bool {
	data, sum, ok := bech32(hrp, s)
	if !ok || len(data) < 1 || data[0] > 16 {
		return false
	}
	size, ok := fromFives(data[1:])
	if !ok || size < 2 || size > 40 {
		return false
	}
	if data[0] == 0 {
		return sum == bech32Const && (size == 20 || size == 32)
	}
	return sum == bech32mConst
}

// bech32 splits s into its data without the checksum's six digits and what the
// checksum leaves.
func bech32(hrp, s string) (data []byte, sum uint32, ok bool) {
	lower := strings.ToLower(s)
	if len(s) > 90 || s != lower && s != strings.ToUpper(s) {
		return nil, 0, false
	}
	cut := strings.LastIndexByte(lower, '1')
	if cut != len(hrp) || lower[:cut] != hrp || len(lower)-cut-1 < 6 {
		return nil, 0, false
	}
	sum = 1
	for i := range len(hrp) {
		sum = bech32Step(sum) ^ uint32(hrp[i]>>5)
	}
	sum = bech32Step(sum)
	for i := range len(hrp) {
		sum = bech32Step(sum) ^ uint32(hrp[i]&31)
	}
	data = make([]byte, 0, len(lower)-cut-1)
	for i := cut + 1; i < len(lower); i++ {
		v := strings.IndexByte(bech32Digits, lower[i])
		if v < 0 {
			return nil, 0, false
		}
		sum = bech32Step(sum) ^ uint32(v)
		data = append(data, byte(v))
	}
	return data[:len(data)-6], sum, true
}

func bech32Step(sum uint32) uint32 {
	top := sum >> 25
	sum = sum & 0x1ffffff << 5
	for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 == 1 {
			sum ^= g
		}
	}
	return sum
}

// fromFives is how many bytes groups of five bits hold; the rest is padding of
// fewer than five zero bits.
func fromFives(groups []byte) (size int, ok bool) {
	bits := len(groups) * 5
	pad := bits % 8
	if pad >= 5 {
		return 0, false
	}
	if pad > 0 && groups[len(groups)-1]&(1<<pad-1) != 0 {
		return 0, false
	}
	return bits / 8, true
}
