/*
Package queue administers the queues in Redis: it lists them with the number of messages in each state, and
lists, redrives and purges dead letters. The gateway's management API, hearth's metrics and the connector
share it.

A queue is one subscription: the messages of a topic for one function, the async calls of a function, or its
callbacks. A message is in one of four states: queued, in flight, delayed or dead.

It does not deliver messages: package dispatch does. It speaks no HTTP: package gateway does.
*/
package queue
