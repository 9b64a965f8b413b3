"""get.py WHAT URL MODULES: one GET with urllib, requests, httpx or aiohttp, with nothing but the environment. What fails is printed as Python prints it."""

import asyncio
import sys

what, url, modules = sys.argv[1:]
sys.path.insert(0, modules)


def by_urllib():
    import urllib.request
    return urllib.request.urlopen(url, timeout=30).read().decode()


def by_requests():
    import requests
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    return answer.text


def by_httpx():
    import httpx
    return httpx.get(url, timeout=30).raise_for_status().text


async def asked(trust_env):
    import aiohttp
    async with aiohttp.ClientSession(trust_env=trust_env, raise_for_status=True) as session, session.get(url) as answer:
        return await answer.text()


ways = {"urllib": by_urllib, "requests": by_requests, "httpx": by_httpx,
        "aiohttp": lambda: asyncio.run(asked(False)), "aiohttp-trust-env": lambda: asyncio.run(asked(True))}
print(ways[what]().strip())
