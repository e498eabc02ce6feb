/*
Package upstream is an HTTP/1.1 client for one replica: it writes a request on a connection of its own or an
idle one, and reads the answer.

It exists beside net/http's client for three reasons. It sends a call and reads its answer in the goroutine
that makes the call; net/http needs two more for each connection. It never repeats a call that may have run;
net/http does if the call has an Idempotency-Key. And it tells its caller whether a failed call was sent at
all. It parses answers with net/http's parser.

It does not choose a replica, hold calls, or retry on another replica: package router does. It does not remove
hop-by-hop or delivery headers: package headers does. It does not speak HTTP/2 or TLS, and it does not cache,
decompress, follow redirects or keep cookies.

# Requests

What is written, in the terms of RFC 9112 (message syntax) and RFC 9110 (semantics):

  - The request line (9112, 3) has the origin form: a path that begins with a slash, and a query. URL.Opaque
    is sent byte for byte. A target with a control character or a space, or a method that is no token, is an
    error.
  - Host (9112, 3.2) is the host of the URL. A Host header is dropped.
  - Field lines (9112, 5) have canonical names. A name that is no token is an error, and so is a value with a
    control character other than a tab (9110, 5.5). Bytes above 0x7F pass.
  - Framing (9112, 6) is the client's alone: Content-Length, Transfer-Encoding and Trailer headers are
    dropped. A body of a known length has a Content-Length; any other body is chunked. Never both. Without a
    body there is neither, but POST, PUT and PATCH have Content-Length: 0. A body that is shorter or longer
    than its length is an error, and ends the connection.
  - Trailers (9112, 7.1.2) follow a chunked body, announced by Trailer headers. Chunks have no extensions.
  - Connection and Upgrade are dropped, but if Options.Upgrade is set (9110, 7.8).
  - Expect: 100-continue (9110, 10.1.1) holds back a body until the replica sends 100, or says nothing for a
    second. If the replica answers first, the body is not sent. A body of at most 64 KiB that can be had again
    is not held back.
  - Requests are not pipelined (9112, 9.3.2).

# Answers

  - The version (9112, 2.3) is HTTP/1.x. HTTP/1.0 closes its connection unless it says keep-alive. Other
    versions are an error.
  - The status (9110, 15) is 100 to 599. Anything else is an error, such as 099, 600 or four digits.
  - Interim answers (9110, 15.2) come in any number. 100 starts a held body. 101 is accepted only if
    Options.Upgrade is set and the answer names exactly the protocols of the request. Options.Early gets the
    others.
  - The head, with all interim answers before it, has at most 256 KiB.
  - Field names are tokens: a space before the colon is an error (9112, 5.1). A control character in a value
    is an error. A line may end with a bare LF (9112, 2.2). A folded line is joined with one space (9112,
    5.2); one right after the status line is an error.
  - The length of the body follows 9112, 6.3, in this order. An answer to HEAD, and one with the status 1xx,
    204 or 304, has no body, whatever its headers say. Transfer-Encoding must be exactly one "chunked", else
    it is an error; HTTP/1.0 ignores it. With Transfer-Encoding, Content-Length is dropped. Several
    Content-Lengths must be equal, and a number. Without either, the body ends with the connection.
  - A body that ends before its length, or before its last chunk, is io.ErrUnexpectedEOF.
  - Chunks (9112, 7.1) end with CRLF: a bare LF is an error. Extensions are ignored, up to 16 KiB more of them
    than of data.
  - Trailers are read, announced or not, up to 4 KiB. A Trailer header must not name Content-Length,
    Transfer-Encoding or Trailer.

# Connections

A connection is used again (9112, 9.3) only if the whole answer was read, nothing followed it, the whole
request was sent, and neither side said close. Before it is used again, it must be open and silent: a byte
that nobody asked for ends it. So an answer is never taken for another call's.

A call is sent again only if it surely did not run, and its body can be had again: nothing of it was sent; or
its method is GET, HEAD or OPTIONS (9110, 9.2.1), and a connection that was used before ended without a byte
of an answer.
*/
package upstream
