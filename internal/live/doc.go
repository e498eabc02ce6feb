/*
Package live watches what every function and queue does, for the operators who look.

One sampler serves all watchers. While somebody watches it samples each second, else every fifteen seconds,
for the ledger and for package history. A watcher gets a snapshot when something has changed, and nothing
otherwise. Queues are measured only after messages were moved, which one question to Redis finds out: so an
idle instance costs next to nothing, with hundreds of functions too.

The ledger says what became of messages since the instance started. It compares three numbers that Redis
counts independently: how many messages were added to a stream, how many are on it, and how many a record of
calls says have ended. A message that is in none of them is lost. One that has ended twice is doubled.

The package changes nothing, and it does not say why something happens. It knows the replicas of this instance
only, and the queues of all.
*/
package live
