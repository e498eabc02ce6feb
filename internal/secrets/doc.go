/*
Package secrets keeps the secrets of functions: sealed in Redis, and as files that only this user can read,
which is how functions are given them.

	Redis, {hearth}:secrets     NAMESPACE/NAME -> sealed value       what all hearths of this Redis agree on
	secret-key                  of the state directory, 0600         opens and seals them
	secrets/NAMESPACE/NAME      of the state directory, 0600         the values here, for functions

A value is sealed with XChaCha20-Poly1305 under the key, together with its name and its version: whoever
reads Redis, its file or a backup of it learns the names and how long the values are; whoever writes to it
can take a secret away, and no more. The state directory remembers the versions, so an old value that is put
back is noticed, and replaced by the present one. It does not help against somebody who can read the state
directory, where key and values are: that is the same user as the functions'.

Hearths of one Redis must have the same key. One that has another cannot open what the others have sealed:
it says so, and goes on with the values that it has.
*/
package secrets
