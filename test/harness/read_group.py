"""Reads a group with redis-py until it has acknowledged so many entries, and prints their IDs, one a line."""

import sys

import redis

port, key, group, count = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
client = redis.Redis(port=port, decode_responses=True)
done = 0
while done < count:
    for _, entries in client.xreadgroup(group, "redis-py", {key: ">"}, count=50, block=1000) or []:
        for entry_id, fields in entries:
            print(entry_id, fields["n"])
            client.xack(key, group, entry_id)
            done += 1
