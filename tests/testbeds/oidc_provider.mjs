// A certified OpenID provider: node oidc_provider.mjs PORT REDIRECT_URI SECRET
// Whoever signs in has the groups that stand in the name: "ada+plant-admins" is in plant-admins.
import { Provider } from "oidc-provider";

const [port, redirect, secret] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "forebay",
      client_secret: secret,
      redirect_uris: [redirect],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      preferred_username: id.split("+")[0],
      groups: id.split("+").slice(1),
    }),
  }),
  cookies: { keys: ["of a test"] },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
