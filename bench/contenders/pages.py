"""Trims streams in pages of 500 keys, one pipeline per page. Prints how many milliseconds it took.

pages.py SOCKET MATCH OLDEST_ID MAX_LENGTH
"""

import sys
import time

import redis

socket, match, oldest, max_length = sys.argv[1:]
client = redis.Redis(unix_socket_path=socket)
# Do not measure loading and connecting.
client.ping()

start = time.monotonic()
cursor = 0
while True:
    cursor, keys = client.scan(cursor, match=match, count=500, _type="stream")
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.xtrim(key, minid=oldest, approximate=True)
        pipeline.xtrim(key, maxlen=int(max_length), approximate=True)
        pipeline.xlen(key)
    pipeline.execute()
    if cursor == 0:
        break
print((time.monotonic() - start) * 1000)
