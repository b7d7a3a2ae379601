package validate

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/sha3"
)

const maxWalletBytes = 128

// walletForm says how a network's addresses are checked.
type walletForm struct {
	versions []byte // base58check: version bytes of main network addresses of 20 bytes
	hrp      string // bech32: human-readable part of segwit addresses
	evm      bool   // 20 bytes in hexadecimal, checksum of EIP-55 in the case of letters
}

// wallets are the networks whose checksums are known here. Bitcoin: BIP 13, 173,
// 350. The others by their projects' chain parameters.
var wallets = map[string]walletForm{
	"bitcoin":  {versions: []byte{0x00, 0x05}, hrp: "bc"},
	"litecoin": {versions: []byte{0x30, 0x32, 0x05}, hrp: "ltc"},
	"dogecoin": {versions: []byte{0x1E, 0x16}},
	"dash":     {versions: []byte{0x4C, 0x10}},
	"tron":     {versions: []byte{0x41}},

	"ethereum":         {evm: true},
	"ethereum_classic": {evm: true},
	"arbitrum":         {evm: true},
	"avalanche_c":      {evm: true},
	"base":             {evm: true},
	"binance_smart":    {evm: true},
	"bnb_smart_chain":  {evm: true},
	"optimism":         {evm: true},
	"polygon":          {evm: true},
}

// walletNetwork is the network in its one spelling; "" for what is no name.
func walletNetwork(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) == 0 || len(s) > 40 {
		return ""
	}
	for i := range len(s) {
		if c := s[i]; !isWordByte(c) && c != '_' && c != '-' && c != '.' {
			return ""
		}
	}
	return s
}

// wallet reads an address on a network. checked says that a checksum passed; an
// address on a network unknown here, and one in hexadecimal that carries no
// checksum, are taken by their characters alone.
func wallet(network, s string) (canonical string, checked, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) == 0 || len(s) > maxWalletBytes {
		return "", false, false
	}
	form, known := wallets[network]
	if !known {
		for i := range len(s) {
			if c := s[i]; !isWordByte(c) && strings.IndexByte(":_-.+/=", c) < 0 {
				return "", false, false
			}
		}
		return s, false, true
	}
	if form.evm {
		return evmAddress(s)
	}
	if form.hrp != "" && len(s) > len(form.hrp) && strings.EqualFold(s[:len(form.hrp)+1], form.hrp+"1") {
		ok = segwit(form.hrp, s)
		return strings.ToLower(s), ok, ok
	}
	payload, ok := base58Check(s)
	if !ok || len(payload) != 21 {
		return "", false, false
	}
	for _, v := range form.versions {
		if payload[0] == v {
			return s, true, true
		}
	}
	return "", false, false
}

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58Check decodes and verifies the four check bytes.
func base58Check(s string) ([]byte, bool) {
	if len(s) > 64 {
		return nil, false
	}
	var number [64]byte // big-endian, filled from the end
	start := len(number)
	for i := range len(s) {
		carry := strings.IndexByte(base58Digits, s[i])
		if carry < 0 {
			return nil, false
		}
		at := len(number)
		for carry > 0 || at > start {
			at--
			carry += 58 * int(number[at])
			number[at] = byte(carry)
			carry >>= 8
		}
		start = at
	}
	for i := 0; i < len(s) && s[i] == '1'; i++ {
		start-- // a leading 1 is a zero byte
		if start < 0 {
			return nil, false
		}
	}
	out := number[start:]
	if len(out) < 5 {
		return nil, false
	}
	payload, sum := out[:len(out)-4], out[len(out)-4:]
	first := sha256.Sum256(payload)
	second := sha256.Sum256(first[:])
	return payload, string(second[:4]) == string(sum)
}

// evmAddress checks EIP-55 where the letters' case carries it.
func evmAddress(s string) (string, bool, bool) {
	if len(s) != 42 || s[0] != '0' || s[1] != 'x' && s[1] != 'X' {
		return "", false, false
	}
	digits := s[2:]
	lower := strings.ToLower(digits)
	if _, err := hex.DecodeString(lower); err != nil {
		return "", false, false
	}
	canonical := "0x" + lower
	if digits == lower || digits == strings.ToUpper(digits) {
		return canonical, false, true
	}
	hash := sha3.NewLegacyKeccak256()
	hash.Write([]byte(lower))
	sum := hex.EncodeToString(hash.Sum(nil))
	for i := range len(digits) {
		c := digits[i]
		if c <= '9' {
			continue
		}
		if upper := c <= 'F'; upper != (sum[i] >= '8') {
			return "", false, false
		}
	}
	return canonical, true, true
}
