/*
Package console serves the operator's console: one page, and the API that the page uses.

All functions share the gateway's origin, so a page there could use whatever a browser keeps for it. The
console therefore has a listener, and with it an origin, of its own. It sets no cookie. A login goes like
this:

 1. Somebody with the operator's password asks for a link: POST /system/console/login. hearth up and hearth
    console do so. The link has a login token, which works once and for ten minutes.
 2. The page sends the token, and gets a bearer token: POST /session. It keeps that for its tab.
 3. Each further request carries the bearer token, until the session ends: by DELETE /session, after twelve
    hours, or with the instance.

Every request is also checked by its Host, Origin and Sec-Fetch-Site; see package origin. There are two roles.
An operator may do everything. A viewer may read everything but secrets, and change nothing.

The package keeps its sessions in memory, as hashes of their tokens. It has no management API of its own: it
passes on requests to the gateway's, and calls functions through the gateway. It does not check passwords.
*/
package console
