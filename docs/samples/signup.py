"""Ask Muster about one application (JSON on standard input) and say what a sign-up page does next."""
import json, os, sys, urllib.error, urllib.request


def ask(server, token, application):
    """Posts twice at most: the same reference is the same application. Our fail mode is hold:
    without an answer nothing opens, nothing is lost, and the customer is told that we will write."""
    for _ in range(2):
        request = urllib.request.Request(
            server + "/v1/applications", data=application, method="POST",
            headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=3) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 422:
                return "correct", json.load(error)  # show errors beside their fields
            continue
        except (OSError, ValueError):
            continue
        todo = {"active": "open", "limited": "open within limits", "pending": "wait"}
        return todo.get(answer["account_state"], "do not open"), answer
    return "hold", {}  # keep the application, post it again later


if __name__ == "__main__":
    todo, answer = ask(os.environ["MUSTER_SERVER"], os.environ["MUSTER_TOKEN"], sys.stdin.buffer.read())
    print(todo)
    for need in answer.get("decision", {}).get("needs", []):
        print(" ", need["words"])
    for error in answer.get("errors", []):
        print(" ", error["pointer"], error["detail"])
    if answer.get("next"):
        print(" ", answer["next"])
