// Package loopback draws addresses for the servers of tests that have to be told, before
// they start, where they will listen.
//
// Rules of this room:
//   - A port of 127.0.0.1 that was free a moment ago may be another test's by the time it
//     is used, and while a server is started again: hundreds of them listen there. So each
//     address is drawn from all of 127.0.0.0/8, and nobody else has it.
//   - A server that can listen on port 0 and say where it does needs none of this.
package loopback

import (
	"crypto/rand"
	"fmt"
	"net"
)

// Address is host:port of this machine on which nobody listens, nor will by chance.
// Where 127.0.0.1 is the machine's only address of that kind, it is a port that is free.
func Address(t interface{ Fatal(...any) }) string {
	var b [3]byte
	rand.Read(b[:])
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", b[0], b[1], 1+b[2]%254))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
