/*
Package metrics shows Prometheus what functions and queues do, as the text of GET /metrics.

	gateway_...    OpenFaaS's names, for dashboards and rules that know them
	hearth_...     what OpenFaaS has no word for: queues, dead letters, cold starts
	go_ process_   this process

What happens is counted when it happens: package router tells of calls, those of callers and those of the
dispatcher alike, and package dispatch tells what became of deliveries. What is so, replicas and queues, is
looked up at each scrape.

A function's series begin when it is deployed and end when it is removed, so there are never more than
deployed functions need. A queue's end with the queue: one that a removed function has left with calls in it
is still shown, since somebody has to decide about them.

With Redis away a scrape answers with all but the queues, and hearth_redis_up says why.

It keeps no history, evaluates nothing, and no part of Hearth decides by it.
*/
package metrics
