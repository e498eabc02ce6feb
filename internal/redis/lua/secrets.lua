-- secrets: all sealed secrets at one moment. It writes nothing.
--
-- KEYS[1]  secrets
-- KEYS[2]  epoch
--
-- Returns {epoch, secrets}: '' if there is none; NAMESPACE/NAME and sealed value in turn.
return {redis.call('GET', KEYS[2]) or '', redis.call('HGETALL', KEYS[1])}
