using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;

namespace Nibble.Tests.Peers;

/// <summary>
/// The peer: llama.cpp, prebuilt, from the npm package node-llama-cpp, asked through tests/peer/generate.mjs. Tests that
/// need it skip, and say so, where Node or the package is missing.
/// </summary>
internal static class LlamaCpp
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static readonly string? Folder = FindFolder();

    private static readonly Lazy<string?> Missing = new(WhyMissing);

    public static void SkipIfMissing() => Assert.SkipWhen(Missing.Value is not null, $"llama.cpp is not here to compare with: {Missing.Value}");

    /// <summary>What llama.cpp makes of each file; skips the running test where llama.cpp is missing.</summary>
    public static async Task<IReadOnlyList<PeerAnswer>> Ask(IReadOnlyList<PeerQuestion> questions)
    {
        SkipIfMissing();
        using Process node = Start(Path.Combine(Folder!, "generate.mjs"));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        stop.CancelAfter(Patience);
        try
        {
            Task<string> output = node.StandardOutput.ReadToEndAsync(stop.Token), error = node.StandardError.ReadToEndAsync(stop.Token);
            await node.StandardInput.WriteAsync(JsonSerializer.Serialize(questions, JsonSerializerOptions.Web));
            node.StandardInput.Close();
            await node.WaitForExitAsync(stop.Token);
            Assert.True(node.ExitCode == 0, $"generate.mjs ended with {node.ExitCode}: {await error}");
            return JsonSerializer.Deserialize<PeerAnswer[]>(await output, JsonSerializerOptions.Web)!;
        }
        finally
        {
            if (!node.HasExited) node.Kill(entireProcessTree: true);
        }
    }

    private static Process Start(params string[] arguments) => Process.Start(new ProcessStartInfo("node", arguments)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;

    private static string? WhyMissing()
    {
        if (Folder is null) return "the checkout's tests/peer is not above the tests";
        if (!Directory.Exists(Path.Combine(Folder, "node_modules", "node-llama-cpp"))) return "run 'npm ci --prefix tests/peer' first";
        try
        {
            using Process node = Start("--version");
            node.WaitForExit();
            return null;
        }
        catch (Win32Exception)
        {
            return "Node is not on the PATH";
        }
    }

    private static string? FindFolder()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "tests", "peer");
            if (File.Exists(Path.Combine(candidate, "generate.mjs"))) return candidate;
        }
        return null;
    }
}

/// <param name="Path">A GGUF file; without prompts only its vocabulary is read.</param>
/// <param name="Texts">To tokenize, special tokens in them taken as text.</param>
/// <param name="Prompts">To continue greedily.</param>
internal sealed record PeerQuestion(string Path, string[] Texts, PeerPrompt[] Prompts);

/// <param name="Tokens">The whole prompt, its BOS included.</param>
/// <param name="Follow">The continuation to feed, whatever llama.cpp would choose itself.</param>
internal sealed record PeerPrompt(int[] Tokens, int[] Follow);

/// <summary>What llama.cpp says of one file, or why it cannot load it.</summary>
internal sealed record PeerAnswer(string Path, string? Error, int[][]? Tokenizations, PeerContinuation[]? Continuations);

/// <param name="Tokens">llama.cpp's greedy choice at every step.</param>
/// <param name="Behind">By how much the logit of the token that was followed trails that choice; 0 where they agree.</param>
internal sealed record PeerContinuation(int[] Tokens, double[] Behind);
