/*
Package schedule reads cron expressions and computes their times. It is pure: it knows no clock and no
Redis.

The grammar is read by github.com/robfig/cron, the parser of OpenFaaS's cron-connector, so that a schedule
means the same here. The search for the next time is our own, since no library's search passes our tests.
That of github.com/netresearch/go-cron v0.9.1, the maintained fork of robfig/cron, fails these:

	CRON_TZ=Africa/Cairo @daily              leaves out 26 April 2024, whose midnight the clock skips
	CRON_TZ=Australia/Lord_Howe 0 12 * * *   leaves out the days on which clocks change, by half an hour
	CRON_TZ=Europe/Berlin 30 2 * * *         comes twice on 27 October 2024, when clocks go back
	CRON_TZ=Pacific/Apia 0 12 30 12 *        never returns after 1 January 2011: the island had no 30 December

The parser of the fork accepts more than OpenFaaS's, such as 7 for Sunday and ranges that wrap around.
*/
package schedule
