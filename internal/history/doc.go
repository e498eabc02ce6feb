/*
Package history remembers, for each function, how its calls went lately and why its number of replicas
changed.

It has a point for each 15 s of the last 15 minutes, and for each 5 minutes of the last 24 hours: the rate of
calls and of errors, three quantiles of their duration, the replicas, and the queued messages. Quantiles come
from buckets that grow by a fifth, so they are a tenth off at most. It has the last hundred changes of a
function's replicas.

All of it is in the memory of this instance: about 13 KB for a function that is called all day, and nothing
for one that is not. It ends with the instance or the function, and it knows the calls of this instance only.
Prometheus keeps more, for longer; see package metrics.
*/
package history
