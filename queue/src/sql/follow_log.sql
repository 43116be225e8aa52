-- Announces a follower of logs for the next 30 seconds: who records messages notifies meanwhile. No parameters.
-- Locks: the one row of log_followers, at most every 15 seconds.
SELECT follow_log()
