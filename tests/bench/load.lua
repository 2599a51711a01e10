-- What wrk sends: signed GitHub check_run bodies of 14.4 kB, each with a delivery id, run id and commit of its own, one in
-- ten of a repository that a rule wants. What differs stands at the end of the body, so that one request costs the load
-- generator two blocks of SHA-256 and not fourteen kilobytes.
-- Arguments: the file of body heads, a number that is unique to this load, the secret.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { uint32_t h[8]; uint32_t nl, nh; uint32_t data[16]; unsigned int num, md_len; } SHA256_CTX;
  int SHA256_Init(SHA256_CTX *c);
  int SHA256_Update(SHA256_CTX *c, const void *data, size_t len);
  int SHA256_Final(unsigned char *md, SHA256_CTX *c);
]]
local found, crypto = pcall(ffi.load, "libcrypto.so.3")
if not found then crypto = ffi.load("crypto") end

local threads = 0
function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

local heads, inner, outer, first_id, count = {}, {}, nil, 0, 0
local state, digest = ffi.new("SHA256_CTX"), ffi.new("unsigned char[32]")
local size = ffi.sizeof("SHA256_CTX")

local function keyed(secret, pad)
  local block = {}
  for i = 1, 64 do block[i] = string.char(bit.bxor(i <= #secret and secret:byte(i) or 0, pad)) end
  local begun = ffi.new("SHA256_CTX")
  crypto.SHA256_Init(begun)
  crypto.SHA256_Update(begun, table.concat(block), 64)
  return begun
end

local hexes = {}
for i = 0, 255 do hexes[i] = string.format("%02x", i) end

function init(args)
  local secret = args[3]
  outer = keyed(secret, 0x5c)
  for line in io.lines(args[1]) do
    heads[#heads + 1] = line
    local begun = keyed(secret, 0x36)
    crypto.SHA256_Update(begun, line, #line)
    inner[#heads] = begun
  end
  first_id = tonumber(args[2]) * 1e8 + thread_number * 5e7
end

local hex = {}
function request()
  count = count + 1
  local which = count % #heads + 1
  local id = string.format("%015d", first_id + count)
  local tail = '"head_sha":"' .. string.rep("c", 25) .. id .. '","id":' .. id .. '}}'
  ffi.copy(state, inner[which], size)
  crypto.SHA256_Update(state, tail, #tail)
  crypto.SHA256_Final(digest, state)
  ffi.copy(state, outer, size)
  crypto.SHA256_Update(state, digest, 32)
  crypto.SHA256_Final(digest, state)
  for i = 0, 31 do hex[i + 1] = hexes[digest[i]] end
  local head = heads[which]
  return table.concat {
    "POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/bench\r\nAccept: */*\r\n",
    "Content-Type: application/json\r\nX-GitHub-Event: check_run\r\nX-GitHub-Hook-ID: 1\r\nX-GitHub-Delivery: bench-", id,
    "\r\nX-Hub-Signature-256: sha256=", table.concat(hex), "\r\nContent-Length: ", #head + #tail, "\r\n\r\n", head, tail }
end
