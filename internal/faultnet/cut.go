// Package faultnet gives tests a way to a server that can be cut and mended.
package faultnet

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Way leads from an address of its own to a server, until it is cut.
type Way struct {
	Addr string // where it begins, host and port

	to    string
	mu    sync.Mutex // guards what follows
	off   bool
	conns []net.Conn
}

// New makes a way to a server's address, for the time of the test.
func New(t *testing.T, to string) *Way {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &Way{Addr: ln.Addr().String(), to: to}
	t.Cleanup(func() {
		ln.Close()
		w.Cut()
	})
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			w.join(in)
		}
	}()
	return w
}

func (w *Way) join(in net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, err := net.Dial("tcp", w.to)
	if w.off || err != nil {
		in.Close()
		if err == nil {
			out.Close()
		}
		return
	}
	w.conns = append(w.conns, in, out)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			pair[0].Close()
			pair[1].Close()
		}()
	}
}

// Cut ends all connections, and any that begins from now on.
func (w *Way) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	for _, conn := range w.conns {
		conn.Close()
	}
	w.conns = nil
}

// Mend lets connections through again.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = false
}
