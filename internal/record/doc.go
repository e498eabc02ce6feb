/*
Package record authenticates the platform's records in Redis, and remembers in the state directory which
records it has seen there.

Redis is shared with code that the platform does not trust: a function with a Redis URL may be able to write
anywhere. So every record that makes the platform act carries a MAC (HMAC-SHA-256). Its key is derived from
the state directory's secret-key, which all instances on one Redis share. The MAC covers the place of the
record, which is its Redis key and its field, and the whole content:

	record                 MAC   and
	spec of a function     yes   carries a generation; a lower one than was seen is an old record, put back
	namespace              yes   an old one put back changes labels and annotations, which the platform shows
	                             and does not act on
	usage of a day         yes   an old value of a past day put back is not noticed; today's value is written
	                             again within a minute
	secret                 AEAD  sealed by package secrets, bound to its name and to a version, which works as
	                             a generation does
	queue entry            no    anybody may put a message on a topic: that is what a topic is for
	cursor of a schedule   yes   an old one put back lets a tick run once more; a removed one begins at the
	                             deployment
	queue state            no    scripts update it; who can change it could as well remove the entry itself
	subscription           no    checked: a stream that no function could have is not used
	change, lease, epoch   no    hints: they make the platform look at records, or wait; it acts on nothing
	                             that they carry

So somebody with write access to Redis can still take things away, and hold things up, but cannot make the
platform run, mount or believe anything that an operator did not deploy.

A MAC cannot tell an old record from the present one, but the state directory can: that is what a Memory is
for. It also notes that records of a version without MACs were taken over, which happens once.

The package does not talk to Redis, and does not know what is in a record: package redis does.
*/
package record
