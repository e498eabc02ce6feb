// Package hearth holds the platform's words: a function, a replica, a subscription, the codes of errors, and
// the Provider interface. It does nothing by itself, and imports no other package of the platform.
package hearth
