package gateway

import (
	"io"
	"net/http"
	"time"
)

// attended serves requests other than calls. The request must arrive within the server's timeout; the answer
// may take longer. An answer that the client does not read is abandoned.
func attended(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.ContentLength == 0 {
			_ = control.SetReadDeadline(time.Time{})
		} else {
			r.Body = &awaited{r.Body, control}
		}
		next.ServeHTTP(&patientWriter{w, control}, r)
	})
}

// awaited is a body that must arrive before a deadline.
type awaited struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *awaited) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// else the connection, and with it the request, would end when it is over
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// patientWriter writes for as long as its client keeps reading.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
