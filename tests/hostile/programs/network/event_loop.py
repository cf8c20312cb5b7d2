# Opens a connection by the event loop of asyncio.
# expect: failed runtime_error PermissionError|ModuleNotFoundError
import asyncio


def approximate(x):
    asyncio.run(asyncio.open_connection("127.0.0.1", int("@PORT@")))
    return x
