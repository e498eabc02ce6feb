// Package backlog returns the calls that are queued in a listening socket whose process has ended. Their
// connections were made, but no process accepted them, so they certainly did not run: the router can give
// them to another replica. The package decides neither when a socket is closed nor what happens to the calls.
package backlog

import (
	"net"
	"net/http"
	"syscall"
)

// Header is on the answer to a call that no process has accepted. Only the router reads it.
const Header = "X-Hearth-Not-Taken"

// answer is the response to such a call.
const answer = "HTTP/1.1 503 Service Unavailable\r\n" + Header +
	": 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// NotTaken reports whether an answer says that no process has accepted the call.
func NotTaken(status int, h http.Header) bool {
	return status == http.StatusServiceUnavailable && h.Get(Header) != ""
}

// Close closes a listener and answers every connection that waits in it. No other process may still accept
// from it. A caller that connects meanwhile is either answered or refused: none is left without an answer.
func Close(l *net.UnixListener) error {
	raw, err := l.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			_ = syscall.Shutdown(int(fd), syscall.SHUT_RD) // from here on the kernel refuses connections
			for giveBack(int(fd)) {
			}
		})
	}
	if e := l.Close(); err == nil {
		err = e
	}
	return err
}

// giveBack answers the next connection. It returns false if there is none. The socket is non-blocking.
func giveBack(listener int) bool {
	syscall.ForkLock.RLock() // so that no process started meanwhile inherits the connection
	c, _, err := syscall.Accept(listener)
	if err == nil {
		syscall.CloseOnExec(c)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return err == syscall.EINTR || err == syscall.ECONNABORTED
	}
	_, _ = syscall.Write(c, []byte(answer))
	_ = syscall.Close(c)
	return true
}
