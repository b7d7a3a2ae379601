package main

import (
	"net"
	"os"
)

// What a service manager is told (sd_notify(3)).
const (
	nowReady    = "READY=1"    // it listens and its gate is loaded; what was begun to be erased is erased
	nowStopping = "STOPPING=1" // it was asked to end, and drains
)

// tellManager tells the service manager that started this process. Where none waits
// for word, NOTIFY_SOCKET is not set, and nothing happens.
func tellManager(state string) error {
	path := os.Getenv("NOTIFY_SOCKET") // a path, or "@" and a name of the abstract kind, which package net knows
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}
